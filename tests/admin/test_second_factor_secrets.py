"""Once a second factor is confirmed, no page of the panel, no command and no log shows its secret or a code again."""

import logging
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, User
from tests.admin.second_factors import CONFIRM, FACTORS, HOME, LOGIN, PASSWORDS, SECOND, Panel, key_in, text
from tests.conftest import PASSWORD
from tests.second_factors import Phone, add_passkey

pytestmark = pytest.mark.django_db
COMMANDS: list[tuple[str, ...]] = [
    *(("users", "show", "carla@example.com"), ("users", "show", "carla@example.com", "--json")),
    *(("users", "list"), ("users", "list", "--json"), ("sessions", "list", "carla@example.com")),
    *(("audit", "list"), ("audit", "list", "--json"), ("mails", "list"), ("mails", "list", "--json")),
    *(("keys", "list"), ("keys", "list", "--json"), ("dumpdata", "accounts", "notifications")),
]


@pytest.fixture
def secrets(carla: User, panel_of: Panel, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Adds an authenticator app in the panel, signs in with a code and with a recovery code, and adds a passkey.

    Returns what must stay secret from then on.
    """
    caplog.set_level(logging.DEBUG)
    client = panel_of(carla)
    secret = key_in(text(client.post(FACTORS, {"operation": "begin"}, follow=True)))
    phone = Phone(secret, first=0)
    confirmed = text(client.post(FACTORS, {"operation": "confirm", "code": phone.code()}))
    recovery_codes = re.findall("<li><code>([^<]+)<", confirmed)
    assert len(recovery_codes) == 10
    client = Client()
    client.post(LOGIN, {"username": carla.email, "password": PASSWORD})
    assert client.post(SECOND, {"code": recovery_codes[0]})["Location"] == HOME
    add_passkey(User.objects.get(pk=carla.pk))
    return [secret, "otpauth", *recovery_codes]


def shown_secrets(shown: str, secrets: list[str]) -> list[str]:
    """Returns the secrets that a text contains, in any case and with or without spaces and dashes."""
    compact = re.sub("[ -]", "", shown).lower()
    return [secret for secret in secrets if secret.replace("-", "").lower() in compact]


def pages() -> Iterator[str]:
    """Yields the address of each list and of each row in the panel."""
    for model in apps.get_models():
        if site.is_registered(model):
            name = f"admin:{model._meta.label_lower.replace('.', '_')}"
            yield reverse(f"{name}_changelist")
            for row in model._default_manager.all():
                yield reverse(f"{name}_change", args=[row.pk])


def test_no_page_of_the_panel_shows_one(secrets: list[str], carla: User, root: User, panel_of: Panel) -> None:
    client = panel_of(root)
    addresses = [HOME, *pages()]
    assert len(addresses) > AuditEvent.objects.count() + User.objects.count()
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert shown_secrets(text(answer), secrets) == [], address


def test_no_page_of_the_user_shows_one(secrets: list[str], carla: User) -> None:
    client = Client()
    client.post(LOGIN, {"username": carla.email, "password": PASSWORD})
    assert shown_secrets(text(client.get(SECOND)), secrets) == []
    client.post(SECOND, {"code": secrets[3]})
    for address in (HOME, FACTORS, CONFIRM, PASSWORDS):
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert shown_secrets(text(answer), secrets) == [], address


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_one(secrets: list[str], command: tuple[str, ...]) -> None:
    out, errors = StringIO(), StringIO()
    call_command(*command, stdout=out, stderr=errors)
    assert out.getvalue()
    assert shown_secrets(out.getvalue() + errors.getvalue(), secrets) == []


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_no_exported_file_contains_one(secrets: list[str], tmp_path: Path, name: str) -> None:
    call_command("export_users", str(tmp_path / name), with_hashes=True, stdout=StringIO())
    assert shown_secrets((tmp_path / name).read_text(), secrets) == []


def test_no_log_contains_one(secrets: list[str], caplog: pytest.LogCaptureFixture) -> None:
    logged = [record.getMessage() for record in caplog.get_records("setup")]
    assert f"POST {SECOND}" in str(logged)
    assert shown_secrets(str(logged), secrets) == []


def test_the_search_finds_secrets(secrets: list[str]) -> None:
    assert shown_secrets(f"key: {secrets[0].lower()}", secrets) == [secrets[0]]
    assert shown_secrets(secrets[2].replace("-", " "), secrets) == [secrets[2]]
