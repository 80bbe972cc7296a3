"""manage.py export_users: its file imports to the same users, and no cell of it is run as a formula."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import invitations, one_time_tokens, passwords, users
from accounts.models import AuditChain, AuditEvent, Role, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from accounts.transfer import csv_escaping
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.conftest import PASSWORD
from tests.transfer.conftest import Importing
from tests.usermanager.processes import PROJECT, clean_environment, create_tables, manage

FIELDS = (
    *("id", "email", "email_key", "full_name", "role__name", "is_active", "email_verified", "locale", "metadata"),
    *("created_at", "last_login_at", "suspended_until", "suspension_reason", "invited_at", "invitation_ended_at"),
)


def export(file: Path, **options: Any) -> str:
    said = StringIO()
    call_command("export_users", str(file), stdout=said, stderr=said, **options)
    return said.getvalue()


def stored(*more: str) -> list[dict[str, Any]]:
    return list(User.objects.order_by("id").values(*FIELDS, *more))


@pytest.fixture
def crowd(person: Callable[..., User]) -> None:
    person("ana", full_name='=HYPERLINK("http://evil.example")', metadata={"plan": "pro", "a": ["1", 2, None]})
    person("bruno", email="Bruno@Bücher.example", full_name="'-", locale="es", email_verified=False)
    person("root", role="admin", is_active=False, last_login_at=timezone.now(), full_name="Root, the\u00a0first")
    User.objects.filter(email="ana@example.com").update(password="!unusable")


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_an_export_imports_to_the_same_users(import_users: Importing, tmp_path: Path, name: str) -> None:
    before = stored()
    hashes = User.objects.exclude(email="ana@example.com").order_by("id").values_list("password", flat=True)
    kept = list(hashes)
    assert export(tmp_path / name, with_hashes=True) == "Exported 3 users.\n"
    User.objects.all().delete()
    assert "3 created, 0 updated, 0 skipped, 0 rejected" in import_users(
        (tmp_path / name).read_text(), allow_privileged=True
    )
    assert stored() == before
    assert list(hashes.all()) == kept
    assert User.objects.get(email="Bruno@Bücher.example").check_password(PASSWORD)


@pytest.fixture
def states(person: Callable[..., User], role: Callable[..., Role]) -> dict[str, str]:
    """Creates users in all states, and returns the state of the invitation of each."""
    role("support", "users.view")
    person("dora", role="support")
    users.suspend(person("emil"), actor=None, reason="=Chargeback, again", until=timezone.now() + timedelta(days=9))
    users.suspend(person("flor"), actor=None, reason="Spam")
    for name in ("sent", "revoked", "accepted"):
        users.create(f"{name}@example.com", actor=None)
    invitations.revoke(User.objects.get(email="revoked@example.com"), actor=None)
    passwords.reset(issue_token("accepted@example.com"), PASSWORD)
    return invitation_states()


def issue_token(address: str) -> str:
    user = User.objects.get(email=address)
    return one_time_tokens.issue(user, Purpose.PASSWORD_RESET, request=new_id(), email=address)


def invitation_states() -> dict[str, str]:
    found: Any = invitations.annotate_state(User.objects.order_by("email"))
    return {user.email: user.invitation_state for user in found}


def move(import_users: Importing, file: Path, **options: Any) -> str:
    """Exports to a file, empties the database and imports the file."""
    export(file, **options)
    OutboxMail.objects.all().delete()
    User.objects.all().delete()
    Role.objects.filter(is_builtin=False).delete()
    for chain in AuditChain.objects.all():
        AuditEvent.objects.remove_links(chain.number, chain.length)
    return import_users(file.read_text(), create_roles=True)


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_roles_suspensions_and_invitations_are_exported_and_imported(
    import_users: Importing, tmp_path: Path, states: dict[str, str], name: str
) -> None:
    assert {states[f"{name}@example.com"] for name in ("sent", "revoked", "accepted")} == {
        "sent",
        "revoked",
        "accepted",
    }
    before = stored()
    assert "6 created, 0 updated, 0 skipped, 0 rejected" in move(import_users, tmp_path / name, with_hashes=True)
    assert stored() == before
    assert invitation_states() == states
    assert Role.objects.get(name="support").permissions == []
    assert AuditEvent.objects.get(kind="role:created").data == {"role": "support", "permissions": []}


def test_without_hashes_an_accepted_invitation_is_left_out(
    import_users: Importing, tmp_path: Path, states: dict[str, str]
) -> None:
    move(import_users, tmp_path / "users.csv")
    assert invitation_states() == states | {"accepted@example.com": "none"}
    assert not User.objects.get(email="accepted@example.com").is_uninvited


def test_a_user_whose_invitation_was_revoked_gets_no_reset_link(
    import_users: Importing, tmp_path: Path, states: dict[str, str]
) -> None:
    move(import_users, tmp_path / "users.csv", with_hashes=True)
    import_users("email,invited_at,invitation_ended_at\neva@example.com,2026-01-01,2026-01-02\n", invite=True)
    for address in ("revoked@example.com", "eva@example.com", "sent@example.com"):
        passwords.request_reset(address)
    for mail in OutboxMail.objects.all():
        delivery.deliver(mail.pk)
    assert {(mail.email, mail.state) for mail in OutboxMail.objects.all()} == {
        ("revoked@example.com", "cancelled"),
        ("eva@example.com", "cancelled"),
        ("sent@example.com", "sent"),
    }


@pytest.mark.usefixtures("crowd")
def test_hashes_are_written_only_with_the_option(tmp_path: Path) -> None:
    export(tmp_path / "users.csv")
    assert "password_hash" not in (tmp_path / "users.csv").read_text()
    assert (tmp_path / "users.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("crowd")
def test_the_filters_of_the_api_select_users(tmp_path: Path) -> None:
    assert export(tmp_path / "users.jsonl", role="admin", is_active="false") == "Exported 1 user.\n"
    assert [json.loads(line)["email"] for line in (tmp_path / "users.jsonl").open()] == ["root@example.com"]
    with pytest.raises(CommandError) as error:
        export(tmp_path / "none.jsonl", is_active="perhaps")
    assert error.value.returncode == 2
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.usefixtures("crowd")
def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    export(tmp_path / "users.csv")
    with (tmp_path / "users.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert '\'=HYPERLINK("http://evil.example")' in cells
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


BEFORE = ("Ana;", "Ana;Ana; ", 'Ana;"', "Ana\t", "Ana\n", "Ana\r\n", ";", "'", ' "', "Ana;'")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_part_of_a_cell_begins_like_a_formula(person: Callable[..., User], tmp_path: Path, separator: str) -> None:
    """Some programs split cells at semicolons or tabs, even within quotation marks that do not begin a cell."""
    formulas = [f'{before}{begins}HYPERLINK("http://evil.example")' for before in BEFORE for begins in FORMULA]
    user = person("ana")
    for number, formula in enumerate(formulas):
        user.pk, user.email, user.full_name, user.metadata = uuid4(), f"u{number}@example.com", formula, {"x": formula}
        user.save(force_insert=True)
    export(tmp_path / "users.csv")
    text = (tmp_path / "users.csv").read_text()
    with (tmp_path / "users.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
    parts = [part for line in text.splitlines() for part in line.split(separator)]
    assert len(cells) >= len(formulas)
    assert not [cell for cell in [*cells, *parts] if cell.lstrip(' "').startswith(FORMULA)]


@given(st.text() | st.text("'\"=+-@;\t\r\n a\uff1d"))
def test_unescaping_restores_the_cell(cell: str) -> None:
    escaped = csv_escaping.escape_formulas(cell)
    assert csv_escaping.unescape_formulas(escaped) == cell
    parts = re.split(r"[;\t\r\n]", escaped)
    assert not [part for part in parts if part.lstrip(' "').startswith(FORMULA)]


@pytest.mark.process
def test_a_pipe_moves_users_from_one_installation_to_another(tmp_path: Path) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    for folder in (here, there):
        create_tables(Path(folder))
        manage("prepare", BCRYPT_ROUNDS="4", DATA_DIR=folder)
    manage("users", "create", "ana@example.com", DATA_DIR=here)
    exported = piped("export_users", folder=here)
    imported = piped("import_users", folder=there, given=exported)
    assert imported.decode() == "Done: 1 created, 0 updated, 1 skipped, 0 rejected.\n"


def piped(command: str, *, folder: str, given: bytes = b"") -> bytes:
    program = [sys.executable, str(PROJECT / "manage.py"), command, "-"]
    environment = clean_environment(DATA_DIR=folder)
    return subprocess.run(program, env=environment, input=given, capture_output=True, check=True).stdout


@pytest.mark.django_db
def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        export(tmp_path / "nowhere" / "users.csv")
