"""Environment variables become typed values; an invalid one stops the start with a line that says what to write."""

import os
import re
import stat
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.http.request import split_domain_port, validate_host

from accounts.limits.rates import Rate
from tests.usermanager.processes import PROJECT, manage
from usermanager.data_dir import create_private_folder, read_or_create_secret
from usermanager.environment import Environment, duration, rate

Settings = Callable[..., dict[str, Any]]
KEY = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "8_000", "a whole number from 1 to 65535"),
        ("BIND", "everywhere", "127.0.0.1"),
        ("PUBLIC_URL", "id.example.com", "https://id.example.com"),
        ("PUBLIC_URL", "ftp://id.example.com", "https://id.example.com"),
        ("PUBLIC_URL", "https://id.example.com:port", "https://id.example.com"),
        ("PUBLIC_URL", "https://id..example.com", "https://id.example.com"),
        ("DEBUG", "maybe", "true or false"),
        ("TRUSTED_PROXIES", "-1", "a whole number from 0"),
        ("ALLOWED_HOSTS", "https://id.example.com", "host names"),
        ("CORS_ALLOWED_ORIGINS", "*", "https://app.example.com"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example.com/path", "https://app.example.com"),
        ("PASSKEY_LOGIN", "maybe", "true or false"),
        ("PASSKEY_RP_ID", "evil.example", "the host of PUBLIC_URL (localhost) or a parent domain of it"),
        ("PASSKEY_ORIGINS", "app.example.com", "https://app.example.com"),
        ("PASSKEY_APPS", "android:com.example.app=AA:BB", "android:com.example.app=AA:BB:…"),
        ("PASSKEY_APPS", "com.example.app", "ios:TEAMID.com.example.app"),
        ("METRICS_ALLOWED", "localhost", "10.0.0.0/8"),
        ("DATABASE_URL", "mysql://root@localhost/db", "postgres://"),
        ("DATABASE_URL", "postgres://localhost:port/db", "postgres://"),
        ("DATABASE_URL", "postgres://localhost", "postgres://"),
        ("DATABASE_URL", "sqlite://", "sqlite:////"),
        ("DATABASE_URL", "postgres://localhost/db?pgbouncer=yes", "pgbouncer=true"),
        ("DATABASE_URL", "postgres://localhost/db?pgbouncer=", "pgbouncer=true"),
        ("CELERY_BROKER_URL", "redis://localhost", "amqp://"),
        ("EMAIL_URL", "mail.example.com:25", "smtp+tls://"),
        ("EMAIL_URL", "smtp://", "smtp://"),
        ("EMAIL_URL", "smtp://host:99999", "smtp://"),
        ("EMAIL_URL", "file://var/mail", "file:///dir"),
        ("EMAIL_FROM", "nobody", "no-reply@example.com"),
        ("EMAIL_FROM", "José <josé@example.com>", "no-reply@example.com"),
        ("ADMIN_EMAIL", "root", "admin@example.com"),
        ("ADMIN_EMAIL", "jösé@example.com", "admin@example.com"),
        ("ADMIN_EMAIL", "a..b@example.com", "admin@example.com"),
        ("REGISTRATION_OPEN", "2", "true or false"),
        ("EMAIL_VERIFICATION", "always", "optional or required"),
        ("ACCESS_TOKEN_LIFETIME", "15", "90s, 15m, 12h or 30d"),
        ("SESSION_LIFETIME", "0d", "90s, 15m, 12h or 30d"),
        ("PASSWORD_RESET_LIFETIME", "999999d", "90s, 15m, 12h or 30d"),
        ("ENCRYPTION_KEYS", "no base64", "keys of 32 bytes in base64"),
        ("ENCRYPTION_KEYS", "c2hvcnQ=", "keys of 32 bytes in base64"),
        ("ENCRYPTION_KEYS", f"{KEY},{KEY[:-2]}=", "keys of 32 bytes in base64"),
        ("ENCRYPTION_KEYS", ",", "keys of 32 bytes in base64"),
        ("BCRYPT_ROUNDS", "3", "a whole number from 4 to 16"),
        ("BCRYPT_ROUNDS", "17", "a whole number from 4 to 16"),
        ("PASSWORD_MIN_LENGTH", "7", "a whole number from 8 to 64"),
        ("PASSWORD_MIN_LENGTH", "65", "a whole number from 8 to 64"),
        ("RATE_LIMITS", "none", "true or false"),
        ("RATE_LOGIN", "five", "5/5m"),
        ("RATE_MAIL", "0/1h", "5/1h"),
        ("RATE_TOKEN", "20/0h", "20/1h"),
        ("LOGIN_CONCURRENCY", "0", "a whole number from 1"),
        ("WEB_WORKERS", "0", "a whole number from 1"),
        ("LANGUAGE_CODE", "fr", "en or es"),
        ("LOG_FORMAT", "xml", "console or json"),
        ("LOG_LEVEL", "loud", "debug"),
        ("SECRET_KEY_FILE", "/nonexistent", "the path of a text file"),
        ("DATA_DIR", "/proc/nowhere", "a directory that this user can write to"),
    ],
)
def test_an_invalid_value_stops_the_start_with_one_line(
    errors_of: Callable[..., list[str]], name: str, value: str, hint: str
) -> None:
    [line] = errors_of(**{name: value})
    assert line.startswith(f"{name} cannot be used: write ")
    assert hint in line


def test_all_invalid_values_are_reported_at_once(errors_of: Callable[..., list[str]]) -> None:
    lines = errors_of(PORT="no", BCRYPT_ROUNDS="99", EMAIL_URL="no")
    assert [line.split()[0] for line in lines] == ["BCRYPT_ROUNDS", "EMAIL_URL", "PORT"]


def test_a_secret_is_never_printed(errors_of: Callable[..., list[str]]) -> None:
    assert "hunter2" not in str(errors_of(DATABASE_URL="mysql://root:hunter2@localhost/db"))


def test_an_invalid_value_leaves_no_files_behind(errors_of: Callable[..., list[str]], tmp_path: Path) -> None:
    errors_of(PORT="no")
    assert not (tmp_path / "var").exists()


def test_a_command_prints_nothing_else_and_ends_with_status_2(tmp_path: Path) -> None:
    ended = manage("check", DATA_DIR=str(tmp_path), PORT="no")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "PORT cannot be used: write a whole number from 1 to 65535.\n"


def test_encryption_keys_are_separated_by_commas(settings_with: Settings) -> None:
    assert settings_with(ENCRYPTION_KEYS=f"{KEY}, {KEY},")["ENCRYPTION_KEYS"] == [KEY, KEY]


def test_an_empty_variable_counts_as_not_set(settings_with: Settings) -> None:
    assert settings_with(PORT="")["PORT"] == 8000


def test_a_relative_data_folder_is_relative_to_the_project(
    settings_with: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = settings_with(DATA_DIR=os.path.relpath(tmp_path / "var", PROJECT))
    assert settings["DATA_DIR"].resolve() == tmp_path / "var"


def test_secrets_may_be_in_files(settings_with: Settings, tmp_path: Path) -> None:
    for name, value in {
        "SECRET_KEY": "of the file",
        "ADMIN_PASSWORD": "of the admin",
        "DATABASE_URL": "postgres://ana:p%40ss@db.example.com:5433/users?sslmode=require",
        "EMAIL_URL": "smtp+tls://ana:p%40ss@mail.example.com",
        "CELERY_BROKER_URL": "amqp://ana:pass@mq.example.com//",
    }.items():
        (tmp_path / name).write_text(value + "\n")
    settings = settings_with(**{f"{path.name}_FILE": str(path) for path in tmp_path.iterdir()})
    database = settings["DATABASES"]["default"]
    assert settings["SECRET_KEY"] == "of the file"
    assert settings["ADMIN_PASSWORD"] == "of the admin"
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("db.example.com", 5433, "p@ss")
    assert database["OPTIONS"]["sslmode"] == "require"
    assert (settings["EMAIL_HOST_PASSWORD"], settings["EMAIL_PORT"], settings["EMAIL_USE_TLS"]) == ("p@ss", 587, True)
    assert settings["CELERY_BROKER_URL"] == "amqp://ana:pass@mq.example.com//"


def test_variables_of_the_process_override_a_dotenv_file(settings_with: Settings, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=9001\nRATE_LOGIN=7/1m\n")
    settings = settings_with(ENV_FILE=str(file), PORT="9002")
    assert (settings["PORT"], settings["RATE_LOGIN"].limit) == (9002, 7)


def test_the_example_file_shows_the_defaults(settings_with: Settings, tmp_path: Path) -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    values = [line[1:] for line in lines if re.match(r"#[A-Z_]+=", line)]
    (tmp_path / "env").write_text("\n".join(values))
    as_written, by_default = settings_with(ENV_FILE=str(tmp_path / "env")), settings_with()
    chosen = {value.partition("=")[0] for value in values} & set(by_default) - {"SECRET_KEY"}
    assert len(chosen) >= 40
    assert {name: as_written[name] for name in chosen} == {name: by_default[name] for name in chosen}


def test_the_key_is_created_once_and_only_its_owner_can_read_it(settings_with: Settings, tmp_path: Path) -> None:
    key = settings_with()["SECRET_KEY"]
    assert settings_with()["SECRET_KEY"] == key
    assert len(key) > 64
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "var" / "secret_key").stat().st_mode) == 0o600


def test_https_turns_on_settings_that_require_it(settings_with: Settings) -> None:
    plain, behind = settings_with(), settings_with(PUBLIC_URL="https://id.example.com/", TRUSTED_PROXIES="1")
    assert not plain["SESSION_COOKIE_SECURE"]
    assert plain["SECURE_HSTS_SECONDS"] == 0
    assert plain["SECURE_PROXY_SSL_HEADER"] is None
    assert behind["PUBLIC_URL"] == "https://id.example.com"
    assert behind["SESSION_COOKIE_SECURE"]
    assert behind["CSRF_TRUSTED_ORIGINS"] == ["https://id.example.com"]
    assert behind["ALLOWED_HOSTS"] == ["id.example.com", "localhost", "127.0.0.1"]
    assert behind["SECURE_HSTS_SECONDS"] > 0
    assert behind["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_urls_mean_the_same_in_capitals(settings_with: Settings) -> None:
    settings = settings_with(
        PUBLIC_URL="HTTPS://ID.Example.com:8443/",
        FRONTEND_URL="HTTPS://App.Example.com/Auth/",
        CORS_ALLOWED_ORIGINS="HTTPS://App.Example.com",
    )
    assert settings["PUBLIC_URL"] == "https://id.example.com:8443"
    assert settings["FRONTEND_URL"] == "https://app.example.com/Auth"
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["https://id.example.com:8443"]
    assert settings["CORS_ALLOWED_ORIGINS"] == ["https://app.example.com"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] > 0


@pytest.mark.parametrize(
    ("url", "named"),
    [("http://[::1]:8104", "[::1]:8104"), ("https://bücher.example", "xn--bcher-kva.example")],
)
def test_the_host_of_the_public_url_is_allowed_as_clients_send_it(
    settings_with: Settings, url: str, named: str
) -> None:
    assert validate_host(split_domain_port(named)[0], settings_with(PUBLIC_URL=url)["ALLOWED_HOSTS"])


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: read_or_create_secret(tmp_path / "key"), range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_existing_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert stat.S_IMODE(create_private_folder(tmp_path).stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
    ],
)
def test_durations_carry_their_unit(text: str, period: timedelta) -> None:
    assert duration(text) == period


@pytest.mark.parametrize("text", ["", "1", "m", "1 m", "1.5h", "-1h", "1w", "1h30m", "١h", "1H"])
def test_nothing_else_is_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration(text)


def test_a_rate_is_a_count_in_a_period() -> None:
    assert rate("5/5m") == Rate(limit=5, period=timedelta(minutes=5))


def test_the_grace_period_of_a_refresh_may_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRESH_GRACE", "0s")
    environment = Environment()
    assert environment.duration("REFRESH_GRACE", "10s", least=timedelta()) == timedelta()
    environment.stop_on_errors()


def test_an_ipv6_address_may_be_bound_with_or_without_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIND", "[::1]")
    assert Environment().bind_address("BIND", "127.0.0.1") == "::1"


def test_behind_https_cookies_belong_to_this_host_and_are_never_sent_in_clear(settings_with: Settings) -> None:
    settings = settings_with(PUBLIC_URL="https://id.example.com", TRUSTED_PROXIES="1")
    for cookie in ("SESSION", "CSRF"):
        assert settings[f"{cookie}_COOKIE_NAME"].startswith("__Host-")
        assert settings[f"{cookie}_COOKIE_SECURE"] is True
    assert settings["CSRF_COOKIE_HTTPONLY"] is True
    assert settings["LANGUAGE_COOKIE_NAME"].startswith("__Secure-")
    assert settings["LANGUAGE_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] >= 365 * 24 * 60 * 60
    assert settings["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_without_https_cookies_have_names_that_browsers_accept(settings_with: Settings) -> None:
    settings = settings_with()
    assert (settings["SESSION_COOKIE_NAME"], settings["CSRF_COOKIE_NAME"]) == ("sessionid", "csrftoken")
    assert settings["SESSION_COOKIE_SECURE"] is False
