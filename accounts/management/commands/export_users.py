"""manage.py export_users: writes users into a file that import_users reads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser

from accounts.batches import ROWS
from accounts.filters import UserFilter
from accounts.management import arguments
from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.models import User
from accounts.transfer.exporting import WRITERS


class Command(ExampleCommand):
    help = (
        "Writes all users, or those that the filters leave, as CSV or JSON lines; `import_users` reads either. Roles "
        "go by their names; what they permit stays here."
    )
    example = "export_users users.csv --role support"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="where to write; - is stdout")
        parser.add_argument("--format", choices=WRITERS, help="the default is what FILE ends with, or else jsonl")
        parser.add_argument("--with-hashes", action="store_true", help="password hashes too: keep the file secret")
        arguments.add_filters(parser, UserFilter)

    def handle(self, *_arguments: Any, file: str, format: str | None, with_hashes: bool, **options: Any) -> None:
        write = WRITERS[format or ("csv" if file.lower().endswith(".csv") else "jsonl")]
        users = arguments.filtered(UserFilter, options, User.objects.all())
        number = 0
        with _opened(file) as output, progress("Exporting", users.count()) as advance:
            for number, _written in enumerate(write(users, output, with_hashes=with_hashes), start=1):
                if number % ROWS == 0:
                    advance(number, number)
        self.stderr.write(f"Exported {number} user{'' if number == 1 else 's'}.")


@contextmanager
def _opened(name: str) -> Iterator[IO[str]]:
    """A file that only its owner may read, and that has its name once it is whole. Raises CommandError."""
    if name == "-":
        yield sys.stdout
        return
    path = Path(name)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as fault:
        raise CommandError(f"{name} cannot be written: {fault.strerror}.") from fault
    finally:
        draft.unlink(missing_ok=True)
