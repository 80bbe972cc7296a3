"""Each part of a URL or an email address in a setting has an effect, or it stops the start."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.mail import EmailMessage
from kombu import Connection
from psycopg.conninfo import make_conninfo

Settings = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("PUBLIC_URL", "https://id.example.com/auth", "it without a path"),
        ("PUBLIC_URL", "https://id.example.com?", "https://id.example.com"),
        ("PUBLIC_URL", "https://:hunter2@id.example.com", "https://id.example.com"),
        ("FRONTEND_URL", "https://app.example.com/?a=b", 'it without the query parameter "a"'),
        ("FRONTEND_URL", "https://app.example.com/#/", "it without # and what follows"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example.com#a", "it without # and what follows"),
        ("CORS_ALLOWED_ORIGINS", "https://:hunter2@app.example.com", "https://app.example.com"),
        (
            "DATABASE_URL",
            "postgres://u:p@h/db?sslmod=require",
            'the query parameter "sslmod", which is unknown (did you mean sslmode?)',
        ),
        ("DATABASE_URL", "postgres://u:p@h/db?sslmode=require&sslmode=disable", '"sslmode" only once'),
        ("DATABASE_URL", "postgres://u:p@h/db?host=other", '"host" only once'),
        ("DATABASE_URL", "postgres://u:p@h/db?dbname=other", 'the query parameter "dbname"'),
        ("DATABASE_URL", "postgres://u:12#hunter2@h/db", "as %3F and %23"),
        ("DATABASE_URL", "sqlite:////tmp/db.sqlite3?mode=ro", 'the query parameter "mode"'),
        ("DATABASE_URL", "sqlite://tmp/db.sqlite3", "sqlite:////"),
        ("CELERY_BROKER_URL", "amqps://u:p@h//?ssl_ca_certs=/ca.pem", 'the query parameter "ssl_ca_certs"'),
        ("CELERY_BROKER_URL", "amqp://u:p@h//?heartbeat=5s", "heartbeat as a whole number of seconds"),
        ("CELERY_BROKER_URL", "amqp://u:p@h//#vhost", "it without # and what follows"),
        (
            "EMAIL_URL",
            "smtp://u:p@h:587?tls=True",
            'the query parameter "tls", which is unknown (did you mean smtp+tls://?)',
        ),
        ("EMAIL_URL", "smtp://u:p@h:587?ehlo", 'the query parameter "ehlo"'),
        ("EMAIL_URL", "smtp://u:12?hunter2&hunter2@h", "as %3F and %23"),
        ("EMAIL_URL", "smtp://h/path", "smtp://"),
        ("EMAIL_URL", "smtp://user@h", "a user and a password"),
        ("EMAIL_URL", "smtp://:hunter2@h", "a user and a password"),
        ("EMAIL_URL", "file:///var/mail?days=3", 'the query parameter "days"'),
        ("EMAIL_URL", "console://here", "console://"),
        ("EMAIL_EHLO_NAME", "mx.example.com, mx2.example.com", "a host name such as"),
        ("EMAIL_EHLO_NAME", "[192.0.2]", "a host name such as"),
        ("EMAIL_FROM", "no-reply@example.com, root@example.com", "one email address"),
        ("EMAIL_FROM", "Acme, Inc. <no-reply@example.com>", "quotation marks"),
        ("EMAIL_FROM", "UserManager <no-reply@example.com", "one email address"),
        ("EMAIL_FROM", "UserManager <no-reply@example.com> x", "one email address"),
        ("EMAIL_FROM", "UserManager <no reply@example.com>", "one email address"),
        ("EMAIL_FROM", "All: no-reply@example.com;", "one email address"),
        ("ADMIN_EMAIL", "admin@example.com,root@example.com", "admin@example.com"),
    ],
)
def test_a_part_that_would_be_ignored_stops_the_start(
    errors_of: Callable[..., list[str]], name: str, value: str, hint: str
) -> None:
    """The line names the variable and the part, and never shows a password."""
    [line] = errors_of(**{name: value})
    assert line.startswith(f"{name} cannot be used: write ")
    assert hint in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("José <jose@example.com>", "José"),
        ("Example Inc. <a@example.com>", "Example Inc."),
        ('"Example, Inc." <a@example.com>', "Example, Inc."),
        ("a@example.com", "localhost"),
    ],
)
def test_the_name_of_a_sender_may_be_anything(settings_with: Settings, sender: str, name: str) -> None:
    settings = settings_with(EMAIL_FROM=sender)
    assert (settings["DEFAULT_FROM_EMAIL"], settings["SITE_NAME"]) == (sender, name)
    assert EmailMessage(from_email=sender).message()["From"]


def test_query_parameters_that_have_an_effect_are_accepted(settings_with: Settings) -> None:
    """Those of PostgreSQL are the ones in libpq's own list."""
    settings = settings_with(
        DATABASE_URL="postgres:///db?host=/run/postgresql&sslmode=verify-full&sslrootcert=system&connect_timeout=3"
        "&application_name=um&options=-c%20lock_timeout%3D5s&target_session_attrs=read-write",
        CELERY_BROKER_URL="amqp://u:p@h//?heartbeat=5&login_method=PLAIN",
    )
    options = settings["DATABASES"]["default"]["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"], options["host"]) == ("verify-full", 3, "/run/postgresql")
    make_conninfo(**options)
    assert Connection(settings["CELERY_BROKER_URL"]).heartbeat == 5


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"PUBLIC_URL": "https://id.example.com:8443"}, "id.example.com"),
        ({"PUBLIC_URL": "https://bücher.example"}, "xn--bcher-kva.example"),
        ({"PUBLIC_URL": "http://localhost:8000"}, ""),
        ({"PUBLIC_URL": "http://usermanager.local"}, ""),
        ({"PUBLIC_URL": "http://192.0.2.1"}, ""),
        ({"PUBLIC_URL": "http://[2001:db8::1]"}, ""),
        ({"EMAIL_EHLO_NAME": "mx.example.com"}, "mx.example.com"),
        ({"EMAIL_EHLO_NAME": "[192.0.2.1]"}, "[192.0.2.1]"),
        ({"EMAIL_EHLO_NAME": "[2001:db8::1]"}, "[IPv6:2001:db8::1]"),
    ],
)
def test_the_mail_server_is_greeted_with_a_name_that_others_may_know(
    settings_with: Settings, variables: dict[str, str], name: str
) -> None:
    """Without such a name, the EHLO has the machine's own name."""
    assert settings_with(**variables)["EMAIL_EHLO_NAME"] == name
