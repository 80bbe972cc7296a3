"""The pages on which somebody asks for another link, for those whose first one is over."""

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import signals
from usermanager.environment import rate

ANA = "ana@example.com"
ASKING = [("/forgot-password", "password_reset_requested"), ("/resend-verification", "email_verification_requested")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was told to those who mail: which signal, about which address."""
    heard: list[tuple[str, str]] = []
    for name in ("password_reset_requested", "email_verification_requested"):
        signal = getattr(signals, name)
        monkeypatch.setattr(signal, "send", lambda sender, email, name=name: heard.append((name, email)))
    return heard


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("dead", "path"), [("/reset-password", "/forgot-password"), ("/verify-email", "/resend-verification")]
)
def test_whoever_comes_with_a_dead_link_may_ask_for_another(client: Client, dead: str, path: str) -> None:
    assert f'href="{path}"' in client.get(dead, {"token": "wrong"}).content.decode()
    assert client.get(path).status_code == 200


@pytest.mark.django_db
def test_the_panels_login_leads_to_whoever_forgot_their_password(client: Client) -> None:
    assert 'href="/forgot-password"' in client.get("/admin/login/").content.decode()


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize(("path", "signal"), ASKING)
@pytest.mark.parametrize("language", ["en", "es"])
def test_known_and_unknown_addresses_are_answered_alike(
    client: Client, asked: list[tuple[str, str]], path: str, signal: str, language: str
) -> None:
    pages_seen = {
        client.post(path, {"email": email}, headers={"Accept-Language": language}).content
        for email in (ANA, "nobody@example.com")
    }
    (page,) = pages_seen
    assert {"en": "a mail is on its way", "es": "hay un correo en camino"}[language] in page.decode()
    assert asked == [(signal, ANA), (signal, "nobody@example.com")]


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), ASKING)
@pytest.mark.parametrize("address", ["", "ana", "ana@exa mple.com", "mıke@example.com", "a" * 300 + "@example.com"])
def test_what_is_no_address_is_refused(
    client: Client, asked: list[tuple[str, str]], path: str, signal: str, address: str
) -> None:
    answer = client.post(path, {"email": address})
    assert answer.status_code == 400
    assert 'id="id_email_error"' in answer.content.decode()
    assert not asked


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), ASKING)
def test_asking_is_limited(
    client: Client, asked: list[tuple[str, str]], path: str, signal: str, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL_IP = True, rate("1/1h")
    client.post(path, {"email": ANA})
    answer = client.post(path, {"email": ANA})
    assert (answer.status_code, asked) == (429, [(signal, ANA)])
    assert int(answer["Retry-After"]) > 3500
    assert "Too many tries." in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "signal"), ASKING)
def test_nobody_is_made_to_ask_by_another_site(asked: list[tuple[str, str]], path: str, signal: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path, {"email": ANA}).status_code == 403
    assert not asked
