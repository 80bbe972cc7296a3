"""The domain of passkeys, and the apps that may use them, as the operator writes them."""

from collections.abc import Callable
from typing import Any

import pytest

Settings = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("public_url", "chosen", "domain"),
    [
        ("https://ID.example.com:8443", "", "id.example.com"),
        ("https://id.example.com", "Example.com", "example.com"),
        ("https://bücher.example", "", "xn--bcher-kva.example"),
    ],
)
def test_passkeys_belong_to_the_host_or_to_a_parent_of_it(
    settings_with: Settings, public_url: str, chosen: str, domain: str
) -> None:
    assert settings_with(PUBLIC_URL=public_url, PASSKEY_RP_ID=chosen)["PASSKEY_RP_ID"] == domain


@pytest.mark.parametrize("chosen", ["le.com", "www.id.example.com", "."])
def test_passkeys_belong_to_no_other_host(errors_of: Callable[..., list[str]], chosen: str) -> None:
    assert len(errors_of(PUBLIC_URL="https://id.example.com", PASSKEY_RP_ID=chosen)) == 1


def test_apps_are_read_in_both_spellings(settings_with: Settings) -> None:
    fingerprint = ":".join(["aB"] * 32)
    apps = settings_with(PASSKEY_APPS=f"android:com.example.app={fingerprint}, ios:TEAMID.com.example.app")
    assert apps["PASSKEY_APPS"] == [
        f"android:com.example.app={fingerprint.upper()}",
        "ios:TEAMID.com.example.app",
    ]
