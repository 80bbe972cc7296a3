"""A real SMTP server on this machine that keeps the emails."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.usermanager.processes import eventually, free_port


class MailServer:
    """The delivered emails by recipient. mail_to() returns each once."""

    def __init__(self) -> None:
        self._mails: list[tuple[str, EmailMessage]] = []
        self._lock = threading.Lock()
        self.port = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = message_from_bytes(envelope.content, policy=policy.default)
        with self._lock:
            self._mails += [(recipient, mail) for recipient in envelope.rcpt_tos]
        return "250 kept"

    def mail_to(self, address: str, saying: str = "") -> EmailMessage:
        """Waits for an email to the address with this text; returns the oldest, once."""

        def take() -> EmailMessage | None:
            with self._lock:
                for place, (recipient, mail) in enumerate(self._mails):
                    if recipient == address and saying in text_of(mail):
                        del self._mails[place]
                        return mail
            return None

        mail = eventually(take, seconds=15)
        assert mail is not None
        return mail

    def count(self, address: str) -> int:
        """Counts the emails to the address."""
        with self._lock:
            return sum(recipient == address for recipient, _mail in self._mails)

    def token_to(self, address: str, page: str) -> str:
        """Returns the token of the link to this page in an email to the address."""
        found = re.search(rf"/{page}\?token=([\w-]+)", text_of(self.mail_to(address, f"/{page}?token=")))
        assert found
        return found[1]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@contextmanager
def running_mail_server() -> Iterator[MailServer]:
    office = MailServer()
    office.port = free_port()
    controller = Controller(office, hostname="127.0.0.1", port=office.port)
    controller.start()
    try:
        yield office
    finally:
        controller.stop()
