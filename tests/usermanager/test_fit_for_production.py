"""`manage.py check --deploy` lets nothing into production that is not safe there."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, CheckMessage, Tags, run_checks
from pytest_django import Settings

from tests.usermanager.processes import manage

SMTP = "django.core.mail.backends.smtp.EmailBackend"
KEY = secrets.token_urlsafe(64)


@pytest.fixture
def production(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with which nothing is wrong."""
    tmp_path.chmod(0o700)
    settings.DATA_DIR = tmp_path
    settings.SECRET_KEY, settings.DEBUG, settings.BCRYPT_ROUNDS = KEY, False, 12
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://id.example.com", ["id.example.com"]
    settings.RATE_LIMITS, settings.TRUSTED_PROXIES = True, 1
    settings.SECURE_HSTS_SECONDS = 1
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    return settings


def faults() -> list[CheckMessage]:
    return [fault for fault in run_checks(tags=[Tags.security], include_deployment_checks=True) if not _silent(fault)]


def _silent(fault: CheckMessage) -> bool:
    return fault.is_silenced()


def test_what_is_safe_passes(production: Settings) -> None:
    assert not faults()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BCRYPT_ROUNDS": 11}, "accounts.E001"),
        ({"RATE_LIMITS": False, "TRUSTED_PROXIES": 0}, "accounts.E002"),
        ({"DEBUG": True}, "accounts.E003"),
        ({"SECRET_KEY": "change-me"}, "accounts.E004"),
        ({"SECRET_KEY": "ab" * 40}, "accounts.E004"),
        ({"SECRET_KEY": f"django-insecure-{KEY}"}, "accounts.E004"),
        ({"PUBLIC_URL": "http://id.example.com"}, "accounts.E005"),
        ({"FRONTEND_URL": "http://app.example.com"}, "accounts.E006"),
        ({"ALLOWED_HOSTS": ["id.example.com", "*"]}, "accounts.E007"),
        ({"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mail.example.com"}, "notifications.E001"),
        ({"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "192.0.2.1"}, "notifications.E001"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_is_unsafe_is_refused(production: Settings, changes: dict[str, Any], code: str) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert code in {fault.id for fault in faults() if fault.level == ERROR}


@pytest.mark.parametrize(
    "changes",
    [
        {"RATE_LIMITS": False},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mail.example.com", "EMAIL_USE_TLS": True},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mail.example.com", "EMAIL_USE_SSL": True},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "127.0.0.1"},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "localhost"},
        {"FRONTEND_URL": "https://app.example.com", "CORS_ALLOWED_ORIGINS": ["https://app.example.com"]},
    ],
)
def test_what_somebody_else_takes_care_of_passes(production: Settings, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert not faults()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"TRUSTED_PROXIES": 0}, "accounts.W001"),
        ({"CORS_ALLOWED_ORIGINS": ["http://app.example.com"]}, "accounts.W002"),
    ],
)
def test_what_may_be_meant_is_warned_of(production: Settings, changes: dict[str, Any], code: str) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert [fault.id for fault in faults()] == [code]


@pytest.mark.parametrize("secret", ["secret_key", "keys/20260101T000000000000Z-kid.pem"])
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_may_read_is_refused(production: Settings, tmp_path: Path, secret: str, mode: int) -> None:
    path = tmp_path / secret
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    path.chmod(0o600)
    assert not faults()
    path.chmod(mode)
    assert [fault.id for fault in faults()] == ["accounts.E008"]


def test_a_file_that_others_may_read_is_warned_of(production: Settings, tmp_path: Path) -> None:
    (tmp_path / "users.csv").touch(mode=0o600)
    assert not faults()
    (tmp_path / "users.csv").chmod(0o640)
    assert [fault.id for fault in faults()] == ["accounts.W004"]


def test_a_folder_that_others_may_enter_is_warned_of(production: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert [fault.id for fault in faults()] == ["accounts.W003"]


@pytest.mark.process
def test_the_command_ends_with_0_for_what_is_safe_and_with_1_for_the_defaults(tmp_path: Path) -> None:
    check = ("check", "--deploy", "--fail-level", "WARNING")
    safe = manage(*check, PUBLIC_URL="https://id.example.com", TRUSTED_PROXIES="1", DATA_DIR=str(tmp_path / "safe"))
    assert safe.returncode == 0, safe.stderr
    refused = manage("check", "--deploy", DATA_DIR=str(tmp_path / "plain"))
    assert refused.returncode == 1
    assert "PUBLIC_URL is http" in refused.stderr
