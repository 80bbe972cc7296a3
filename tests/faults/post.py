"""A mail server that remembers which mails were the last word of a conversation that was cut."""

from email.message import EmailMessage
from typing import Any

from tests.notifications.post import Post


class WatchedPost(Post):
    """Only a mail whose conversation was cut after its DATA may come a second time: nobody can know that it came."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[Any, str] = {}

    def last_words(self) -> set[str]:
        """The mails that stand last in a conversation which nobody has ended with QUIT."""
        return set(self._last.values())

    def keep(self, mail: EmailMessage, session: Any) -> None:
        super().keep(mail, session)
        self._last[session] = mail["X-Entity-Ref-ID"]

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        self._last.pop(session, None)
        return "221 Bye"
