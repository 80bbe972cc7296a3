"""The operator chooses the domain of passkeys, and which web pages and apps may use them."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.mfa import relying_party
from accounts.models import User
from tests.api.test_passkeys import post, sign_in
from tests.authenticator import Authenticator
from tests.conftest import refused
from tests.second_factors import add_passkey

FINGERPRINTS = [":".join(["AA"] * 32), ":".join(["0B"] * 32)]
ANDROID_ORIGIN = "android:apk-key-hash:" + "q" * 42 + "o"
ANDROID = [f"android:com.example.app={one}" for one in FINGERPRINTS]
IOS = "ios:TEAMID1234.com.example.app"
PATHS = ("webauthn", "assetlinks.json", "apple-app-site-association")


@pytest.fixture
def _site(settings: Any) -> None:
    settings.PUBLIC_URL = "https://id.example.com"
    settings.FRONTEND_URL = "https://shop.example/account"
    settings.PASSKEY_RP_ID = "example.com"


@pytest.mark.django_db
@pytest.mark.usefixtures("_site")
@pytest.mark.parametrize(
    ("origin", "apps", "accepted"),
    [
        ("https://id.example.com", [], True),
        ("https://shop.example", [], True),
        ("https://example.com", [], False),
        ("https://id.example.com:443", [], False),
        (ANDROID_ORIGIN, ANDROID, True),
        (ANDROID_ORIGIN, [], False),
        ("https://example.com", [IOS], True),
    ],
)
def test_only_configured_origins_are_accepted(
    settings: Any, ana: User, origin: str, apps: list[str], accepted: bool
) -> None:
    authenticator = Authenticator()
    authenticator.origin = "https://id.example.com"
    add_passkey(ana, authenticator)
    settings.PASSKEY_APPS, authenticator.origin = apps, origin
    assert post(APIClient(), "passkey/options/").json()["rpId"] == "example.com"
    assert sign_in(APIClient(), authenticator).status_code == (200 if accepted else 401)


@pytest.mark.django_db
def test_the_headers_of_a_request_choose_no_origin(settings: Any, ana: User) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    authenticator = add_passkey(ana)
    authenticator.origin = "https://evil.example"
    misled = APIClient(HTTP_ORIGIN="https://evil.example", HTTP_HOST="evil.example")
    assert post(misled, "passkey/options/").json()["rpId"] == "localhost"
    refused(sign_in(misled, authenticator), 401, "invalid_credentials")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://id.example.com:443", "https://id.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_is_spelled_as_browsers_do(settings: Any, url: str, origin: str) -> None:
    settings.PASSKEY_ORIGINS = [url]
    assert relying_party.origins() == [origin]


@pytest.mark.usefixtures("_site")
def test_origins_outside_the_domain_are_published(client: Client) -> None:
    answer = client.get("/.well-known/webauthn")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {"origins": ["https://shop.example"]}


def test_the_origins_of_an_operator_replace_the_default(client: Client, settings: Any) -> None:
    settings.PASSKEY_ORIGINS = ["http://localhost:8000", "http://notlocalhost", "https://www.localhost"]
    assert client.get("/.well-known/webauthn").json() == {"origins": ["http://notlocalhost"]}


def test_the_apps_are_published(client: Client, settings: Any) -> None:
    settings.PASSKEY_APPS = [*ANDROID, IOS]
    [statement] = client.get("/.well-known/assetlinks.json").json()
    assert statement["relation"] == ["delegate_permission/common.get_login_creds"]
    assert statement["target"] == {
        "namespace": "android_app",
        "package_name": "com.example.app",
        "sha256_cert_fingerprints": FINGERPRINTS,
    }
    answer = client.get("/.well-known/apple-app-site-association")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {"webcredentials": {"apps": ["TEAMID1234.com.example.app"]}}


@pytest.mark.parametrize("path", PATHS)
def test_what_is_not_configured_is_not_found(client: Client, path: str) -> None:
    assert client.get(f"/.well-known/{path}").json()["code"] == "not_found"
    assert client.post(f"/.well-known/{path}").status_code == 405
