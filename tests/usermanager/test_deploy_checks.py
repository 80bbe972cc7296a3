"""`manage.py check --deploy` reports each setting that is unsafe in production."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, CheckMessage, Tags, run_checks
from pytest_django import Settings

from accounts.models import Role
from tests.usermanager.processes import PROJECT, manage

SMTP = "django.core.mail.backends.smtp.EmailBackend"
KEY = secrets.token_urlsafe(64)


@pytest.fixture
def production(settings: Settings, tmp_path: Path) -> Settings:
    """Settings without any warning or error."""
    tmp_path.chmod(0o700)
    settings.DATA_DIR, settings.IS_SQLITE, settings.DATABASE_FILE = tmp_path, True, str(tmp_path / "none.sqlite3")
    settings.SECRET_KEY, settings.DEBUG, settings.BCRYPT_ROUNDS = KEY, False, 12
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://id.example.com", ["id.example.com"]
    settings.PASSKEY_RP_ID = "id.example.com"
    settings.RATE_LIMITS, settings.TRUSTED_PROXIES = True, 1
    settings.SECURE_HSTS_SECONDS = 1
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    return settings


def messages() -> list[CheckMessage]:
    found = run_checks(tags=[Tags.security], include_deployment_checks=True)
    return [message for message in found if not message.is_silenced()]


def test_safe_settings_pass(production: Settings) -> None:
    assert not messages()


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
def test_an_unsafe_setting_is_an_error(production: Settings, changes: dict[str, Any], code: str) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert code in {message.id for message in messages() if message.level == ERROR}


@pytest.mark.parametrize(
    "changes",
    [
        {"RATE_LIMITS": False},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mail.example.com", "EMAIL_USE_TLS": True},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "mail.example.com", "EMAIL_USE_SSL": True},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "127.0.0.1"},
        {"EMAIL_BACKEND": SMTP, "EMAIL_HOST": "localhost"},
        {
            "FRONTEND_URL": "https://app.example.com",
            "CORS_ALLOWED_ORIGINS": ["https://app.example.com"],
            "PASSKEY_RP_ID": "example.com",
        },
        {"FRONTEND_URL": "https://id.example.com/app"},
    ],
)
def test_a_setting_that_another_part_makes_safe_passes(production: Settings, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert not messages()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"TRUSTED_PROXIES": 0}, "accounts.W001"),
        ({"CORS_ALLOWED_ORIGINS": ["http://app.example.com"]}, "accounts.W002"),
        ({"PASSKEY_RP_ID": "192.0.2.1", "FRONTEND_URL": "https://app.example.com"}, "accounts.W005"),
        ({"PASSKEY_RP_ID": "[2001:db8::1]"}, "accounts.W005"),
        ({"FRONTEND_URL": "https://app.example.com"}, "accounts.W006"),
        ({"FRONTEND_URL": "https://other-id.example.com"}, "accounts.W006"),
    ],
)
def test_a_setting_that_may_be_intended_is_a_warning(production: Settings, changes: dict[str, Any], code: str) -> None:
    for name, value in changes.items():
        setattr(production, name, value)
    assert [message.id for message in messages()] == [code]


@pytest.mark.parametrize("secret", ["secret_key", "encryption_keys", "keys/20260101T000000000000Z-kid.pem"])
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_that_others_may_read_is_an_error(production: Settings, tmp_path: Path, secret: str, mode: int) -> None:
    path = tmp_path / secret
    path.parent.mkdir(exist_ok=True)
    path.write_text("secret")
    path.chmod(0o600)
    assert not messages()
    path.chmod(mode)
    assert [message.id for message in messages()] == ["accounts.E008"]


def test_a_file_that_others_may_read_is_a_warning(production: Settings, tmp_path: Path) -> None:
    (tmp_path / "users.csv").touch(mode=0o600)
    assert not messages()
    (tmp_path / "users.csv").chmod(0o640)
    assert [message.id for message in messages()] == ["accounts.W004"]


def test_a_folder_that_others_may_enter_is_a_warning(production: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert [message.id for message in messages()] == ["accounts.W003"]


@pytest.mark.django_db
def test_a_role_that_manages_users_without_a_second_factor_is_a_warning(production: Settings, tmp_path: Path) -> None:
    (tmp_path / "none.sqlite3").touch(mode=0o600)
    Role.objects.create(name="shop", permissions=["billing.refund"])
    Role.objects.create(name="helpdesk", permissions=["users.view"], mfa="off")
    (message,) = messages()
    assert (message.id, message.msg.endswith("in these roles: admin, helpdesk.")) == ("accounts.W007", True)
    Role.objects.filter(name__in=("admin", "helpdesk")).update(mfa="required")
    assert not messages()


def test_the_check_of_roles_creates_no_database(production: Settings, tmp_path: Path) -> None:
    assert not messages()
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_a_database_without_tables_and_one_that_is_down_are_no_warning(tmp_path: Path) -> None:
    variables = {"PUBLIC_URL": "https://id.example.com", "TRUSTED_PROXIES": "1", "DATA_DIR": str(tmp_path / "var")}
    (tmp_path / "var").mkdir(mode=0o700)
    (tmp_path / "var" / "usermanager.sqlite3").touch(mode=0o600)
    check = ("check", "--deploy", "--fail-level", "WARNING")
    for url in ("", "postgres://nobody@127.0.0.1:1/nothing"):
        ended = manage(*check, cwd=PROJECT, DATABASE_URL=url, **variables)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.process
def test_the_command_exits_with_0_for_safe_settings_and_with_1_for_the_defaults(tmp_path: Path) -> None:
    check = ("check", "--deploy", "--fail-level", "WARNING")
    safe = manage(*check, PUBLIC_URL="https://id.example.com", TRUSTED_PROXIES="1", DATA_DIR=str(tmp_path / "safe"))
    assert safe.returncode == 0, safe.stderr
    refused = manage("check", "--deploy", DATA_DIR=str(tmp_path / "plain"))
    assert refused.returncode == 1
    assert "PUBLIC_URL is http" in refused.stderr
