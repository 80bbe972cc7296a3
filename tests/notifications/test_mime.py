"""An email's bytes for SMTP say what Django's own bytes say."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from email.charset import QP, Charset
from email.message import Message
from functools import cache
from typing import Any

import pytest
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.mail import EmailMessage as Email
from django.core.mail.message import sanitize_address
from pytest_django import Settings

from notifications.content import composing, kinds
from notifications.models import OutboxMail
from notifications.sending import delivery, mime, smtp

SENDERS = (
    "no-reply@example.com",
    '"Acme, Inc." <no-reply@example.com>',
    f"Señor Núñez de {'la Compañía ' * 9}<no-reply@ñandú.example>",
)
ADDRESSES = ("ana@example.com", "Ana.O'B+x@ñandú.example", f"{'l' * 60}@{'d' * 60}.{'e' * 60}.example")


def emails() -> Iterator[tuple[OutboxMail, composing.Content]]:
    """Yields each kind of email, in each form and language, to different addresses."""
    for kind in kinds.KINDS:
        for language in ("en", "es"):
            for content in composing.previews(kind, language):
                for address in ADDRESSES:
                    yield OutboxMail(kind=kind), replace(content, email=address)


def by_django(email: Email) -> bytes:
    email.encoding = Charset("utf-8")
    email.encoding.body_encoding = QP
    message: Any = email.message()
    return bytes(message.as_bytes(linesep="\r\n"))


def with_html(subject: str, headers: dict[str, str], text: str = "Text") -> EmailMultiAlternatives:
    given = {"Message-ID": "<1@localhost>"} | headers
    email = EmailMultiAlternatives(subject, text, to=["ana@example.com"], headers=given)
    email.attach_alternative(text, "text/html")
    return email


def without_boundary(data: bytes) -> bytes:
    """Returns the bytes without the boundary and the time, which differ each time, and the fold before the boundary."""
    boundary = message_from_bytes(data).get_boundary()
    assert boundary
    data = data.replace(boundary.encode(), b"boundary").replace(b";\r\n boundary", b"; boundary")
    return re.sub(rb"Date: .*", b"Date:", data)


def said(data: bytes) -> list[tuple[object, ...]]:
    """Returns what each part says, without the boundary."""
    message = message_from_bytes(data)
    return [
        (part.get_content_type(), part.get_content_charset(), _headers(part), part.get_payload(decode=True))
        for part in message.walk()
        if not part.defects or pytest.fail(str(part.defects))
    ]


def _headers(part: Message) -> list[tuple[str, str]]:
    return [(name, _decoded(name, str(value))) for name, value in part.items() if name not in ("Content-Type", "Date")]


@cache
def _decoded(name: str, value: str) -> str:
    """Returns the text of a header as a mail program shows it. Decodes equal headers once, because the standard library
    needs a millisecond for each."""
    return str(policy.default.header_fetch_parse(name, value))


@pytest.mark.parametrize("sender", SENDERS)
def test_each_kind_says_the_same(settings: Settings, sender: str) -> None:
    settings.DEFAULT_FROM_EMAIL = sender
    for mail, content in emails():
        data = mime.to_bytes(delivery.message(mail, content))
        assert said(data) == said(by_django(delivery.message(mail, content)))
        assert data.isascii()
        assert max(map(len, data.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 76


def test_no_text_breaks_lines_or_parts() -> None:
    source = random.Random(11)
    for _ in range(2000):
        body = "".join(source.choices("ab .=_-\t\nñ…", k=source.randrange(1, 300)))
        email = with_html("Subject", {}, body)
        data = mime.to_bytes(email)
        assert said(data) == said(by_django(email))
        assert max(map(len, data.split(b"\r\n"))) <= 76
        assert data.count(b"=_") == 4  # the boundary is named, begins each part and ends the last


@pytest.mark.parametrize("value", ["", " ", "a  b ", "ñ" * 60, "a " * 60, "x" * 500, "tab\tbed", "=?utf-8?q?a?="])
def test_a_header_is_folded_as_django_does(value: str) -> None:
    email = Email("Subject", "Text", to=["ana@example.com"], headers={"X-Some": value, "Date": "", "Message-ID": ""})
    assert mime.to_bytes(email) == by_django(email)
    email = with_html(value, {"X-Some": value})
    assert without_boundary(mime.to_bytes(email)) == without_boundary(by_django(email))


@pytest.mark.parametrize(
    "headers", [{"To": "bruno@example.com"}, {"from": "b@example.com"}, {"Date": "Sat, 28 Nov 2026 12:00:00 -0000"}]
)
def test_a_header_that_replaces_another_one_stands_where_django_writes_it(headers: dict[str, str]) -> None:
    email = with_html("Subject", headers)
    assert without_boundary(mime.to_bytes(email)) == without_boundary(by_django(email))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_each_line_of_a_text_ends_as_smtp_requires(newline: str) -> None:
    email = with_html("Subject", {}, newline.join(("one", "two", "", "three")))
    data = mime.to_bytes(email)
    assert said(data) == said(by_django(email))
    assert not re.search(rb"[^\r]\n|\r[^\n]", data)


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
def test_no_header_begins_another_line(newline: str) -> None:
    value = f"a{newline}Bcc: eve@example.com"
    for email in (
        with_html(value, {}),
        with_html("Subject", {"X-Some": value}),
        Email(value, "Text", to=["ana@example.com"]),
        Email("Subject", "Text", to=[value]),
        Email("Subject", "Text", to=["ana@example.com"], headers={"X-Some": value}),
    ):
        with pytest.raises(BadHeaderError):
            mime.to_bytes(email)


@pytest.mark.parametrize("address", [*SENDERS, *ADDRESSES, "no-reply@localhost", '"a b"@example.com'])
def test_the_envelope_has_the_address_that_django_writes(address: str) -> None:
    assert smtp._envelope_address(address) == sanitize_address(address, "utf-8")


@pytest.mark.parametrize("address", ["ana@example.com\r\nRCPT TO:<eve@example.com>", "a@b@c.example", "a@b.example,"])
def test_no_other_text_gets_into_the_envelope(address: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid address|newlines|domain part"):
        smtp._envelope_address(address)
