"""The pages on which a user requests an emailed link, for example because the first one has expired."""

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import signals
from usermanager.environment import rate

ANA = "ana@example.com"
PAGES = [("/forgot-password", "password_reset_requested"), ("/resend-verification", "email_verification_requested")]


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The signals sent to the receivers that send emails, each with the address."""
    sent: list[tuple[str, str]] = []
    for name in ("password_reset_requested", "email_verification_requested"):
        signal = getattr(signals, name)
        monkeypatch.setattr(signal, "send", lambda sender, email, name=name: sent.append((name, email)))
    return sent


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("link", "path"), [("/reset-password", "/forgot-password"), ("/verify-email", "/resend-verification")]
)
def test_the_page_of_an_invalid_link_leads_to_a_request(client: Client, link: str, path: str) -> None:
    assert f'href="{path}"' in client.get(link, {"token": "wrong"}).content.decode()
    assert client.get(path).status_code == 200


@pytest.mark.django_db
def test_the_login_page_of_the_panel_leads_to_a_reset(client: Client) -> None:
    assert 'href="/forgot-password"' in client.get("/admin/login/").content.decode()


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize(("path", "signal"), PAGES)
@pytest.mark.parametrize("language", ["en", "es"])
def test_known_and_unknown_addresses_get_the_same_answer(
    client: Client, requested: list[tuple[str, str]], path: str, signal: str, language: str
) -> None:
    pages_seen = {
        client.post(path, {"email": email}, headers={"Accept-Language": language}).content
        for email in (ANA, "nobody@example.com")
    }
    (page,) = pages_seen
    assert {"en": "an email is on its way", "es": "recibirás un correo en breve"}[language] in page.decode()
    assert requested == [(signal, ANA), (signal, "nobody@example.com")]


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), PAGES)
@pytest.mark.parametrize("address", ["", "ana", "ana@exa mple.com", "mıke@example.com", "a" * 300 + "@example.com"])
def test_an_invalid_address_is_rejected(
    client: Client, requested: list[tuple[str, str]], path: str, signal: str, address: str
) -> None:
    answer = client.post(path, {"email": address})
    assert answer.status_code == 400
    assert 'id="id_email_error"' in answer.content.decode()
    assert not requested


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), PAGES)
def test_requests_are_limited(
    client: Client, requested: list[tuple[str, str]], path: str, signal: str, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL_IP = True, rate("1/1h")
    client.post(path, {"email": ANA})
    answer = client.post(path, {"email": ANA})
    assert (answer.status_code, requested) == (429, [(signal, ANA)])
    assert int(answer["Retry-After"]) > 3500
    assert "Too many attempts." in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), PAGES)
def test_another_site_cannot_send_the_form(requested: list[tuple[str, str]], path: str, signal: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path, {"email": ANA}).status_code == 403
    assert not requested
