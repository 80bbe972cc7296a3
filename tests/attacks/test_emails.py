"""Users' input appears in emails only as text: it is no header, no markup and no template."""

from email.message import EmailMessage
from typing import Any

import pytest

from tests.attacks.service import PASSWORD, Person, Service, log_in, new_address, register

NAMES = [
    "<img src=x onerror=alert(1)>",
    "</p><a href='https://evil.example.com'>Win</a>",
    "{{ 7777*7777 }} {{ settings.SECRET_KEY }} {% debug %}",
    "${7777*7777} #{7777*7777} <%= 7777*7777 %>",
    "Ana, you won: https://evil.example.com/prize",
    "=?utf-8?q?=0ABcc:_evil@example.com?=",
    '"; DROP TABLE accounts_user; --',
    "ana\u00a0\u200b\u0301" * 20,
]
LINE_ENDS = ["\r\n", "\n", "\r", "\u2028", "\x0b", "\x00", "\x85"]
ADDRESSES = [
    *("ana@example.com\r\nBcc: evil@example.com", "ana@example.com\nX: y", "ana@example.com%0aBcc:x@example.com"),
    *(
        "ana@example.com,evil@example.com",
        "ana@example.com;evil@example.com",
        "Ana <ana@example.com>",
        "<a@example.com>",
    ),
    *('"ana\r\nBcc: x"@example.com', "ana@[127.0.0.1]", "ana@localhost", "ana@example.com.", "ana@.example.com", "@"),
    *("ana(c)@example.com", "ana@example.com(c)", "áná@example.com", "ana@example..com", "ana", "a@b@example.com"),
    *("-oQ/tmp@example.com -X/tmp/x", "a" * 65 + "@example.com", "ana@" + "a." * 130 + "com", "ana@xn--\ud800.com"),
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_only_text_in_an_email(name: str, service: Service) -> None:
    ana = register(service, "ana", full_name=name)
    service.must(202, "POST", "auth/password/reset/", email=ana.email)
    for page in ("/verify-email?", "/reset-password?"):
        _is_harmless(service.office.mail_to(ana.email, page), ana.email)
    ana.must(204, "POST", "auth/password/change/", current_password=PASSWORD, new_password="fennel gazebo hamlet")
    _is_harmless(service.office.mail_to(ana.email), ana.email)
    assert ana.must(200, "GET", "users/me/")["full_name"] == name.strip()


@pytest.mark.parametrize("end", LINE_ENDS, ids=range(len(LINE_ENDS)))
def test_no_field_accepts_a_line_break(end: str, service: Service, root: Person) -> None:
    injected = f"Ana{end}Bcc: evil@example.com"
    for field in ("full_name", "locale", "email"):
        body: dict[str, Any] = {"email": new_address(), "password": PASSWORD, field: injected}
        answer = service.ask("POST", "auth/register/", **body)
        assert {error["field"] for error in answer.json()["errors"]} == {field}
        assert root.ask("POST", "users/", **body).code == "validation_error"
    ana = register(service, "ana")
    for field in ("full_name", "locale"):
        assert ana.ask("PATCH", "users/me/", **{field: injected}).code == "validation_error"
    change = ana.ask("POST", "auth/email/change/", current_password=PASSWORD, new_email=injected)
    assert change.code == "validation_error"


@pytest.mark.parametrize("address", ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_invalid_address_gets_no_email(address: str, service: Service) -> None:
    for path in ("auth/register/", "auth/password/reset/", "auth/email/verify/resend/"):
        assert service.ask("POST", path, email=address, password=PASSWORD).status == 400, path
    assert service.office.count(address) == 0


def test_the_language_of_the_request_cannot_name_a_file(service: Service) -> None:
    for language in ("../../../etc/passwd", "es/../../x", "x" * 3000, "%00", "{{7777*7777}}", "zz", "es-MX;q=9"):
        email = new_address()
        assert (
            service.ask(
                "POST", "auth/register/", sent={"Accept-Language": language}, email=email, password=PASSWORD
            ).status
            == 201
        )
        _is_harmless(service.office.mail_to(email, "/verify-email?"), email)


def test_letters_that_look_alike_are_different_addresses(service: Service) -> None:
    """If the database folded a stranger's address into ana's, the stranger would get her reset link."""
    ana = register(service, "mike")
    local, _at, domain = ana.email.partition("@")
    for lookalike in (f"m\u0131ke{local[4:]}@{domain}", f"{local}@ex\u0430mple.com", f"mi\u212ae{local[4:]}@{domain}"):
        answer = service.ask("POST", "auth/password/reset/", email=lookalike)
        assert answer.status in (202, 400)
        if answer.status == 202:
            registered = service.must(201, "POST", "auth/register/", email=lookalike, password="fennel gazebo hamlet")
            assert registered["id"] != ana.id
    service.office.mail_to(ana.email, "/verify-email?")
    assert service.office.count(ana.email) == 0
    assert log_in(service, ana.email.upper()).id == ana.id


def _is_harmless(mail: EmailMessage, recipient: str) -> None:
    """Checks that the email has one recipient and only the parts of our templates."""
    assert mail.get_all("To") == [recipient]
    assert mail["Bcc"] is None
    assert mail["Cc"] is None
    assert len(mail.get_all("Subject") or []) == 1
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body is not None
        text = str(body.get_content())
        assert not any(
            word in text for word in ("evil", "onerror", "<script", "{{", "{%", "${", "DROP TABLE", "60481729")
        )
