"""A mail backend that puts each mail into a file of its own, for people without a mail server: DATA_DIR/mail/*.eml."""

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

KIND_HEADER = "X-Mail-Kind"
NAME_LENGTH = 80


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
        handle, draft = mkstemp(dir=self.folder, prefix=".draft-")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(message.message().as_bytes())
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, self.folder / _name(message))
        except BaseException:
            os.unlink(draft)
            raise


def _name(message: EmailMessage) -> str:
    """By time, so that the newest comes last; microseconds keep two mails to one person apart."""
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    words = [message.extra_headers.get(KIND_HEADER, "mail"), *message.to]
    readable = re.sub(r"[^A-Za-z0-9_.@+-]+", "-", "-".join(words)).replace("@", "-at-")
    return f"{moment}-{readable[:NAME_LENGTH]}.eml"
