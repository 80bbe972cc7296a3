"""An SMTP server that records the last email of each conversation that was cut."""

from email.message import EmailMessage
from typing import Any

from tests.notifications.mail_server import MailServer


class WatchedMailServer(MailServer):
    """Only an email whose conversation was cut after DATA may arrive twice: its sender can't know that it arrived."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[Any, str] = {}

    def last_words(self) -> set[str]:
        """Returns the last email of each conversation that did not end with QUIT."""
        return set(self._last.values())

    def keep(self, mail: EmailMessage, session: Any) -> None:
        super().keep(mail, session)
        self._last[session] = mail["X-Entity-Ref-ID"]

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        self._last.pop(session, None)
        return "221 Bye"
