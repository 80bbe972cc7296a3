"""An email backend for development: writes each email to a file, DATA_DIR/mail/*.eml.

The file is deleted with the email's row in the outbox: with its user, or when the row is pruned.
"""

import logging
import os
import re
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from notifications.models import OutboxMail

KIND_HEADER = "X-Mail-Kind"
ID_HEADER = "X-Entity-Ref-ID"
NAME_LENGTH = 80
BATCH_SIZE = 500
DRAFT = ".draft-"
DRAFT_SECONDS = 3600.0  # after which a draft is one that a crash left
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_HEAD_BYTES = 4096

log = logging.getLogger(__name__)


class EmailBackend(BaseEmailBackend):
    """Writes a file completely, and to the disk, before it gets its name. Only its owner may read it."""

    def __init__(self, file_path: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(file_path or settings.EMAIL_FILE_PATH)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            self._write(message)
        return len(email_messages)

    def _write(self, message: EmailMessage) -> None:
        handle, draft = mkstemp(dir=self.folder, prefix=DRAFT)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(message.message().as_bytes())
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, self.folder / _name(message))
        except BaseException:
            os.unlink(draft)
            raise


def remove(ids: Collection[UUID]) -> int:
    """Deletes the files of these emails; returns how many. A file that cannot be deleted is left to prune()."""
    return sum(_unlink(path) for path in _paths() if _id_in(path.name) in ids)


def prune() -> int:
    """Deletes the files of emails that are no longer in the outbox, and drafts that a crash left; returns how many.

    Keeps files without the id of an email in name or header: they are not of the outbox.
    """
    paths = list(_paths())
    number = sum(_unlink(path) for path in paths if path.name.startswith(DRAFT) and _is_old(path))
    ids = {path: found for path in paths if path.suffix == ".eml" and (found := _id_in(path.name) or _id_within(path))}
    for start in range(0, len(ids), BATCH_SIZE):
        some = dict(list(ids.items())[start : start + BATCH_SIZE])
        kept = set(OutboxMail.objects.filter(pk__in=some.values()).values_list("pk", flat=True))
        number += sum(_unlink(path) for path, found in some.items() if found not in kept)
    return number


def _paths() -> Iterator[Path]:
    """Yields the files in the folder of EMAIL_URL and in the default one, which may have been used before."""
    configured = getattr(settings, "EMAIL_FILE_PATH", None)
    for folder in {settings.DATA_DIR / "mail", *([Path(configured)] if configured else [])}:
        try:
            yield from folder.iterdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("emails of deleted users may be left in %s: %s", folder, error)


def _id_in(name: str) -> UUID | None:
    found = _ID.search(name)
    return UUID(found[0]) if found else None


def _id_within(path: Path) -> UUID | None:
    """Returns the id in the header: files of older versions have none in their name."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).partition(b"\n\n")[0].decode(errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{ID_HEADER}: ({_ID.pattern})\s*$", head, re.MULTILINE)
    return UUID(found[1]) if found else None


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > DRAFT_SECONDS
    except FileNotFoundError:
        return False


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("%s, an email of a deleted user or an old one, cannot be deleted: %s", path, error)
        return False
    return True


def _name(message: EmailMessage) -> str:
    """Returns a name that begins with the time, so that the newest comes last. Microseconds keep names unique."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    parts = [message.extra_headers.get(KIND_HEADER, "mail"), *message.to]
    readable = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", "-".join(parts)).replace("@", "-at-")
    reference = message.extra_headers.get(ID_HEADER)
    return f"{moment}-{readable[:NAME_LENGTH]}{f'.{reference}' if reference else ''}.eml"
