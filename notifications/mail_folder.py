"""A mail backend that puts each mail into a file of its own, for people without a mail server: DATA_DIR/mail/*.eml.

A file lives no longer than the email's row in the outbox: it goes with its user, or when the row is pruned.
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
AT_ONCE = 500
DRAFT = ".draft-"
DRAFT_SECONDS = 3600.0  # far longer than writing one takes
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_HEAD_BYTES = 4096

log = logging.getLogger(__name__)


class EmailBackend(BaseEmailBackend):
    """A file is complete, and on the disk, before it has its name; only its owner may read it."""

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
    """Deletes the files of emails that the outbox holds no more, and drafts that a crash left; returns how many.

    What has no id of an email in its name or its header is no file of the outbox's, and stays.
    """
    paths = list(_paths())
    number = sum(_unlink(path) for path in paths if path.name.startswith(DRAFT) and _is_old(path))
    ids = {path: found for path in paths if path.suffix == ".eml" and (found := _id_in(path.name) or _id_within(path))}
    for start in range(0, len(ids), AT_ONCE):
        some = dict(list(ids.items())[start : start + AT_ONCE])
        kept = set(OutboxMail.objects.filter(pk__in=some.values()).values_list("pk", flat=True))
        number += sum(_unlink(path) for path, found in some.items() if found not in kept)
    return number


def _paths() -> Iterator[Path]:
    """All that is in the folder of EMAIL_URL and in the default one, in which emails may be from before."""
    configured = getattr(settings, "EMAIL_FILE_PATH", None)
    for folder in {settings.DATA_DIR / "mail", *([Path(configured)] if configured else [])}:
        try:
            yield from folder.iterdir()
        except FileNotFoundError:
            continue
        except OSError as fault:
            log.warning("emails of deleted users may be left in %s: %s", folder, fault)


def _id_in(name: str) -> UUID | None:
    found = _ID.search(name)
    return UUID(found[0]) if found else None


def _id_within(path: Path) -> UUID | None:
    """Files of older versions have it in their header alone."""
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
    except OSError as fault:
        log.warning("%s, an email of a deleted user or an old one, cannot be deleted: %s", path, fault)
        return False
    return True


def _name(message: EmailMessage) -> str:
    """By time, so that the newest comes last; microseconds keep two mails to one person apart."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    words = [message.extra_headers.get(KIND_HEADER, "mail"), *message.to]
    readable = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", "-".join(words)).replace("@", "-at-")
    reference = message.extra_headers.get(ID_HEADER)
    return f"{moment}-{readable[:NAME_LENGTH]}{f'.{reference}' if reference else ''}.eml"
