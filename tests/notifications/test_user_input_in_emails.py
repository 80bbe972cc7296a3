"""No email repeats text that a client entered: email programs turn even plain text into links."""

from typing import Any

import pytest
from django.core import mail as outgoing
from django.test import Client
from pytest_django import Settings

from accounts.email_addresses import masked
from accounts.models import User
from notifications.content import composing, kinds
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.conftest import PASSWORD

EVIL = "www.evil.test"
ADDRESS = f"victim+{EVIL}/win?now=1&you={EVIL}@example.com"
HEADERS = {
    "User-Agent": f"Win at {EVIL}/ua",
    "X-Forwarded-For": f"[fe80::1%{EVIL}]",
    "X-Request-ID": EVIL,
    "Origin": f"https://{EVIL}",
    "Referer": f"https://{EVIL}/",
}
KINDS = [(name, data) for name, kind in kinds.KINDS.items() for data in kind.samples]


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(("kind", "data"), KINDS, ids=range(len(KINDS)))
def test_no_kind_of_email_shows_what_a_user_typed(db: None, kind: str, data: dict[str, Any], language: str) -> None:
    user = User(email=ADDRESS, full_name=f"Win at {EVIL}", metadata={"say": EVIL}, suspension_reason=EVIL)
    row = OutboxMail(kind=kind, user=user, email=ADDRESS, language=language, data=data)
    content = composing.preview(row)
    assert content
    built = delivery.message(row, content)
    assert built.to == [ADDRESS]
    head = {name: value for name, value in built.message().items() if name != "To"}
    assert "evil" not in f"{head} {content.subject} {content.text} {content.html}"
    assert "v…@example.com" in content.text


@pytest.mark.django_db
def test_no_request_adds_text_to_an_email(settings: Settings) -> None:
    settings.NEW_LOGIN_MAIL, settings.TRUSTED_PROXIES = True, 1
    client = Client()
    own = {"email": ADDRESS, "password": PASSWORD, "full_name": f"Win at {EVIL}"}
    for path in ("register", "register", "login", "password/reset", "email/verify/resend"):
        answer = client.post(f"/api/v1/auth/{path}/", own, content_type="application/json", headers=HEADERS)
        assert answer.status_code in (200, 201, 202, 400), path
    for pending in OutboxMail.objects.all():
        delivery.deliver(pending.pk)
    assert len(outgoing.outbox) >= 4
    for sent in outgoing.outbox:
        assert sent.to == [ADDRESS]
        assert "evil" not in f"{sent.subject} {sent.body} {vars(sent)['alternatives']} {sent.extra_headers}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ana@example.com", "a…@example.com"),
        ("Ana.B@BÜCHER.example", "A…@bücher.example"),
        ("a@xn--bcher-kva.example", "a…@bücher.example"),
        ("/x@ｅｘａｍｐｌｅ.com", "/…@example.com"),
    ],
)
def test_an_address_is_shown_by_its_first_letter_and_its_domain(address: str, shown: str) -> None:
    assert masked(address) == shown
