"""A real SMTP server on this machine that keeps the emails it accepts, with replies that a test can set."""

import asyncio
import threading
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.usermanager.processes import eventually, free_port

HANG, CLOSE = "hang", "close"


class MailServer:
    """`answers` overrides the replies to EHLO, MAIL, RCPT, DATA and QUIT; HANG sends none. Each reply takes
    `delay_seconds`. The server does not offer 8BITMIME.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.port = free_port()
        self.delay_seconds = 0.0
        self.conversations = 0
        self.greetings: set[str] = set()
        self.contents: list[bytes] = []
        self._mails: list[EmailMessage] = []
        self._lock = threading.Lock()
        self._controller: Controller | None = None

    def open(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def close(self) -> None:
        """Closes the server, which can be opened again. May be called twice."""
        if self._controller:
            self._controller.stop()
            self._controller = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def mails(self) -> list[EmailMessage]:
        with self._lock:
            return list(self._mails)

    def one(self) -> EmailMessage:
        """Returns the only accepted email."""
        (mail,) = self.mails
        return mail

    def wait_for(self, number: int, *, seconds: float = 20) -> list[EmailMessage]:
        """Waits for this number of different emails; duplicates don't count."""
        eventually(lambda: len(self.ids()) >= number, seconds=seconds)
        return self.mails

    def ids(self) -> Counter[str]:
        """Counts how often each email was accepted."""
        return Counter(mail["X-Entity-Ref-ID"] for mail in self.mails)

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]) -> Any:
        session.host_name = hostname
        self.conversations += 1
        self.greetings.add(hostname)
        if "EHLO" in self.answers:
            return [self.answers["EHLO"]]
        return [line for line in responses if "8BITMIME" not in line]

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, hostname: str) -> str:
        session.host_name = hostname
        return self.answers.get("EHLO", "250 localhost")

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        return await self._say("MAIL", server)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.rcpt_tos.append(address)
        return await self._say("RCPT", server)

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return await self._say("QUIT", server, self.answers.get("QUIT", "221 Bye"))

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.contents.append(envelope.content)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert envelope.rcpt_tos == [mail["To"]]
        answer = self.answers.get("DATA", "250 OK")
        if "{" in answer:
            raw = envelope.content.decode().partition("\r\n\r\n")[2][:900]
            answer = answer.format(mail=text_of(mail).replace("\r\n", " "), raw=raw.replace("\r\n", " "))
            self.taken = mail

        if answer in (CLOSE, HANG) or answer.startswith("2"):
            self.keep(mail, session)
        return await self._say("DATA", server, answer)

    def keep(self, mail: EmailMessage, session: Any) -> None:
        with self._lock:
            self._mails.append(mail)

    async def _say(self, stage: str, server: Any, answer: str = "") -> str:
        answer = answer or self.answers.get(stage, "250 OK")
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        if answer == HANG:
            await asyncio.sleep(60)
        if answer == CLOSE:
            server.transport.abort()
        return answer


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())
