"""What the environment says becomes typed values; what it cannot mean stops the start with a line that helps."""

import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.http.request import split_domain_port, validate_host

from tests.usermanager.processes import PROJECT, manage
from usermanager.environment import Environment, Rate, duration, private_folder, rate, secret_made_once

Settings = Callable[..., dict[str, Any]]


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
        ("DATA_DIR", "/proc/nowhere", "a folder in which this user may write"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start_with_one_line(
    refusal_of: Callable[..., list[str]], name: str, value: str, hint: str
) -> None:
    [line] = refusal_of(**{name: value})
    assert line.startswith(f"{name} cannot be used: write ")
    assert hint in line


def test_every_bad_value_is_named_at_once(refusal_of: Callable[..., list[str]]) -> None:
    lines = refusal_of(PORT="no", BCRYPT_ROUNDS="99", EMAIL_URL="no")
    assert [line.split()[0] for line in lines] == ["BCRYPT_ROUNDS", "EMAIL_URL", "PORT"]


def test_a_secret_is_never_printed(refusal_of: Callable[..., list[str]]) -> None:
    assert "hunter2" not in str(refusal_of(DATABASE_URL="mysql://root:hunter2@localhost/db"))


def test_nothing_is_made_when_a_value_cannot_be_used(refusal_of: Callable[..., list[str]], tmp_path: Path) -> None:
    refusal_of(PORT="no")
    assert not (tmp_path / "var").exists()


def test_a_command_says_nothing_else_and_ends_with_status_2(tmp_path: Path) -> None:
    ended = manage("check", DATA_DIR=str(tmp_path), PORT="no")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "PORT cannot be used: write a whole number from 1 to 65535.\n"


def test_an_empty_variable_counts_as_one_that_is_not_set(settings_with: Settings) -> None:
    assert settings_with(PORT="")["PORT"] == 8000


def test_a_relative_data_folder_starts_in_the_project_wherever_a_command_is_run(
    settings_with: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = settings_with(DATA_DIR=os.path.relpath(tmp_path / "var", PROJECT))
    assert settings["DATA_DIR"].resolve() == tmp_path / "var"


def test_secrets_may_stand_in_files(settings_with: Settings, tmp_path: Path) -> None:
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


def test_a_dotenv_file_is_read_but_the_process_wins(settings_with: Settings, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("PORT=9001\nRATE_LOGIN=7/1m\n")
    settings = settings_with(ENV_FILE=str(file), PORT="9002")
    assert (settings["PORT"], settings["RATE_LOGIN"].limit) == (9002, 7)


def test_the_example_file_names_the_defaults(settings_with: Settings, tmp_path: Path) -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    values = [line[1:] for line in lines if re.match(r"#[A-Z_]+=", line)]
    (tmp_path / "env").write_text("\n".join(values))
    as_written, by_default = settings_with(ENV_FILE=str(tmp_path / "env")), settings_with()
    chosen = {value.partition("=")[0] for value in values} & set(by_default) - {"SECRET_KEY"}
    assert len(chosen) >= 40
    assert {name: as_written[name] for name in chosen} == {name: by_default[name] for name in chosen}


def test_the_key_is_made_once_and_is_the_owners_alone(settings_with: Settings, tmp_path: Path) -> None:
    key = settings_with()["SECRET_KEY"]
    assert settings_with()["SECRET_KEY"] == key
    assert len(key) > 64
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "var" / "secret_key").stat().st_mode) == 0o600


def test_https_turns_on_what_only_https_can_keep(settings_with: Settings) -> None:
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


def test_addresses_mean_the_same_in_capitals(settings_with: Settings) -> None:
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
def test_the_host_of_the_public_url_is_answered_as_clients_name_it(
    settings_with: Settings, url: str, named: str
) -> None:
    assert validate_host(split_domain_port(named)[0], settings_with(PUBLIC_URL=url)["ALLOWED_HOSTS"])


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: secret_made_once(tmp_path / "key"), range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_folder_that_stands_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert stat.S_IMODE(private_folder(tmp_path).stat().st_mode) == 0o755


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


def test_the_grace_of_a_refresh_may_be_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRESH_GRACE", "0s")
    environment = Environment()
    assert environment.duration("REFRESH_GRACE", "10s", least=timedelta()) == timedelta()
    assert not environment.faults


def test_an_ipv6_address_may_be_bound_with_or_without_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIND", "[::1]")
    assert Environment().bind_address("BIND", "127.0.0.1") == "::1"


def test_behind_https_cookies_are_of_this_host_alone_and_never_go_in_clear(settings_with: Settings) -> None:
    settings = settings_with(PUBLIC_URL="https://id.example.com", TRUSTED_PROXIES="1")
    for cookie in ("SESSION", "CSRF"):
        assert settings[f"{cookie}_COOKIE_NAME"].startswith("__Host-")
        assert settings[f"{cookie}_COOKIE_SECURE"] is True
    assert settings["CSRF_COOKIE_HTTPONLY"] is True
    assert settings["LANGUAGE_COOKIE_NAME"].startswith("__Secure-")
    assert settings["LANGUAGE_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] >= 365 * 24 * 60 * 60
    assert settings["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_without_https_cookies_have_names_that_browsers_take(settings_with: Settings) -> None:
    settings = settings_with()
    assert (settings["SESSION_COOKIE_NAME"], settings["CSRF_COOKIE_NAME"]) == ("sessionid", "csrftoken")
    assert settings["SESSION_COOKIE_SECURE"] is False
