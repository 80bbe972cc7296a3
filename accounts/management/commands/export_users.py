"""manage.py export_users: writes users into a file that import_users reads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser

from accounts.batches import BATCH_SIZE
from accounts.listing.filters import UserFilter
from accounts.management import arguments
from accounts.management.base import ExampleCommand
from accounts.management.progress import progress
from accounts.models import User
from accounts.transfer.exporting import WRITERS


class Command(ExampleCommand):
    help = (
        "Writes all users, or those that match the filters, as CSV or JSON lines; `import_users` reads both. The file "
        "names the role of each user, but not the permissions of the role, and leaves out second factors."
    )
    example = "export_users users.csv --role support"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file to write; - is stdout")
        parser.add_argument("--format", choices=WRITERS, help="the default is csv if FILE ends with .csv, else jsonl")
        parser.add_argument(
            "--with-hashes", action="store_true", help="write password hashes, too; keep the file secret"
        )
        arguments.add_filters(parser, UserFilter)

    def handle(self, *_arguments: Any, file: str, format: str | None, with_hashes: bool, **options: Any) -> None:
        write = WRITERS[format or ("csv" if file.lower().endswith(".csv") else "jsonl")]
        users = arguments.apply_filters(UserFilter, options, User.objects.all())
        number = 0
        with _open(file) as output, progress("Exporting", users.count()) as advance:
            for number, _written in enumerate(write(users, output, with_hashes=with_hashes), start=1):
                if number % BATCH_SIZE == 0:
                    advance(number, number)
        self.stderr.write(f"Exported {number} user{'' if number == 1 else 's'}.")


@contextmanager
def _open(name: str) -> Iterator[IO[str]]:
    """Opens a file that only its owner may read, and gives it its name once it is complete. Raises CommandError."""
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
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
