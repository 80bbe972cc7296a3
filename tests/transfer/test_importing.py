"""manage.py import_users: the lines that it imports and rejects, and its conflicts with existing users."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from accounts import login
from accounts.mfa import proofs
from accounts.models import AuditEvent, ImportRun, OneTimeToken, Role, Session, User
from accounts.transfer import importing
from notifications.models import OutboxMail
from tests.conftest import PASSWORD
from tests.transfer.conftest import Importing, lines
from tests.usermanager.processes import PROJECT, clean_environment, create_tables, eventually, manage

BCRYPT = "$2b$04$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq"  # of PASSWORD


def addresses() -> list[str]:
    return sorted(User.objects.values_list("email", flat=True))


def test_an_address_is_enough(import_users: Importing) -> None:
    assert "1 created" in import_users("email\ndora@example.com\n")
    dora = User.objects.get()
    assert (dora.role.name, dora.is_active, dora.email_verified, dora.locale) == ("user", True, False, "")
    assert not dora.has_usable_password()
    assert not OutboxMail.objects.exists()


def test_every_field_is_imported(import_users: Importing) -> None:
    row = {
        "id": "8f9d5b1e-3b1f-4a53-9d6e-0a8d7f1c2b3a",
        "email": "Dora@Example.com",
        "full_name": "Dora Díaz",
        "role": "admin",
        "is_active": False,
        "email_verified": True,
        "locale": "es",
        "metadata": {"plan": "pro"},
        "created_at": "2020-01-31T12:00:00Z",
        "last_login_at": "2021-01-31T12:00:00+02:00",
        "password_hash": BCRYPT,
    }
    import_users(lines(row), allow_privileged=True)
    dora = User.objects.get()
    assert (dora.email, dora.email_key, dora.full_name) == ("Dora@Example.com", "dora@example.com", "Dora Díaz")
    assert (dora.role.name, dora.is_active, dora.email_verified, dora.locale) == ("admin", False, True, "es")
    assert dora.metadata == {"plan": "pro"}
    assert dora.created_at.isoformat() == "2020-01-31T12:00:00+00:00"
    assert dora.last_login_at
    assert dora.last_login_at.isoformat() == "2021-01-31T10:00:00+00:00"
    assert dora.check_password(PASSWORD)


def test_ids_are_generated_from_the_time_of_creation(import_users: Importing) -> None:
    import_users("email,created_at\nnew@example.com,2024-01-01T00:00:00Z\nold@example.com,2019-01-01T00:00:00Z\n")
    assert list(User.objects.order_by("id").values_list("email", flat=True)) == ["old@example.com", "new@example.com"]
    assert all(UUID(str(user.pk)).version == 7 for user in User.objects.all())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"full_name": "Nobody"}, "email: it is missing"),
        ({"email": "not an address"}, "email: write an email address"),
        ({"email": 7}, "email: write an email address"),
        ({"email": "d@example.com", "full_name": "a\u0007b"}, "full_name: write one line"),
        ({"email": "d@example.com", "full_name": "\ud800"}, "full_name: write one line"),
        ({"email": "d@example.com", "full_name": "x" * 151}, "full_name: write one line"),
        ({"email": "d@example.com", "role": "nonsense"}, "role: there is no such role"),
        (
            {"email": "d@example.com", "suspended_until": "2999-01-01T00:00:00Z"},
            "suspended_until: it requires is_active",
        ),
        (
            {"email": "d@example.com", "is_active": True, "suspension_reason": "Spam"},
            "suspension_reason: it requires is_active",
        ),
        (
            {"email": "d@example.com", "is_active": False, "suspension_reason": "a\tb"},
            "suspension_reason: write one line",
        ),
        (
            {"email": "d@example.com", "is_active": False, "suspension_reason": "x" * 251},
            "suspension_reason: write one",
        ),
        ({"email": "d@example.com", "invited_at": "soon"}, "invited_at: write a time such as"),
        ({"email": "d@example.com", "is_active": "perhaps"}, "is_active: write true or false"),
        ({"email": "d@example.com", "locale": "fr"}, "locale: write en or es"),
        ({"email": "d@example.com", "locale": ["es"]}, "locale: write en or es"),
        ({"email": "d@example.com", "metadata": "[]"}, "metadata: write a JSON object"),
        ({"email": "d@example.com", "metadata": {"a": "x" * 16384}}, "metadata: write a JSON object"),
        ({"email": "d@example.com", "metadata": {"a": "\u0000"}}, "metadata: write a JSON object"),
        ({"email": "d@example.com", "created_at": "yesterday"}, "created_at: write a time"),
        ({"email": "d@example.com", "id": "7"}, "id: write a UUID"),
        ({"email": "d@example.com", "password_hash": "md5$salt$hash"}, "password_hash: this kind of"),
        ({"email": "d@example.com", "password_hash": BCRYPT.replace("$04$", "$31$")}, "password_hash: this kind of"),
        (
            {"email": "d@example.com", "password_hash": "$pbkdf2-sha256$99999999$aK3VGuMc$UHUV4W"},
            "password_hash: the password hash would take too long",
        ),
    ],
)
def test_an_invalid_line_is_rejected_with_its_reason_and_the_others_are_imported(
    import_users: Importing, row: dict[str, Any], reason: str
) -> None:
    said = import_users(lines(row, {"email": "good@example.com"}), strict=True)
    assert f"Line 1: {reason}" in said
    assert "1 created" in said
    assert "1 line was rejected." in said
    assert addresses() == ["good@example.com"]


def test_the_report_lists_every_rejected_line_without_its_values(import_users: Importing, tmp_path: Path) -> None:
    report = tmp_path / "rejected.csv"
    text = 'email,full_name\n"secret address",Ana\nana@example.com,"two\nlines"\nbruno@example.com\n,Nobody\n'
    import_users(text, report=str(report), strict=True)
    with report.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["line", "reason", "kind"],
            ["2", "email: write an email address of at most 254 characters", "rejected"],
            ["3", "full_name: write one line of at most 150 characters", "rejected"],
            ["5", "it has 1 cells where the first line has 2", "rejected"],
            ["6", "email: it is missing", "rejected"],
        ]
    assert addresses() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 created"),
        ("{\n", "neither CSV, nor JSON lines"),
        ("[1]", "it is not a JSON object"),
        ('{"realm": 1,\n "roles": []}', "has no list of users"),
        ("email,email\na@example.com,b@example.com\n", "names a column twice"),
    ],
)
def test_a_file_of_an_unknown_kind_is_an_error(import_users: Importing, text: str, says: str) -> None:
    assert says in import_users(text)
    assert addresses() == []


def test_existing_users_are_skipped(import_users: Importing, ana: User) -> None:
    said = import_users("email,full_name\nANA@EXAMPLE.COM,Another\ndora@example.com,\nDora@example.com,\n")
    assert "1 created, 0 updated, 2 skipped, 0 rejected" in said
    ana.refresh_from_db()
    assert (ana.email, ana.full_name) == ("ana@example.com", "Ana")


def test_existing_users_are_updated_by_the_use_cases(import_users: Importing, ana: User, root: User) -> None:
    login.open_session(ana, proofs.PASSWORD)
    rows = lines(
        {"email": "ana@example.com", "full_name": "Ana García", "is_active": False, "password_hash": BCRYPT},
        {"email": "root@example.com", "is_active": False},
    )
    said = import_users(rows, on_conflict="update", allow_privileged=True)
    assert "0 created, 1 updated, 0 skipped, 1 rejected" in said
    assert "Line 2: This is the last active administrator." in said
    ana.refresh_from_db()
    assert (ana.full_name, ana.is_active, ana.password) == ("Ana García", False, f"bcrypt${BCRYPT}")
    assert not Session.objects.active().filter(user=ana).exists()
    assert AuditEvent.objects.filter(user_id=ana.pk, kind="user:suspended").exists()
    root.refresh_from_db()
    assert root.is_active


def test_a_line_with_the_id_of_another_user_changes_no_user(import_users: Importing, ana: User) -> None:
    row = lines({"email": "dora@example.com", "id": str(ana.pk), "full_name": "Dora"})
    assert "Line 1: Another user has this id." in import_users(row, on_conflict="update")
    assert "1 skipped" in import_users(row)
    ana.refresh_from_db()
    assert (addresses(), ana.full_name) == (["ana@example.com"], "Ana")


def test_a_conflict_ends_the_import_before_anything_is_stored(
    import_users: Importing, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", 1)
    said = import_users("email\ndora@example.com\nana@example.com\n", on_conflict="fail")
    assert "Line 3: a user already has this address or id." in said
    assert addresses() == ["ana@example.com"]
    said = import_users("email\ndora@example.com\nelsa@example.com\nDORA@example.com\n", on_conflict="fail")
    assert "Line 4:" in said
    assert addresses() == ["ana@example.com"]


@pytest.mark.parametrize("on_conflict", ["skip", "update"])
def test_a_dry_run_gives_the_same_result_and_stores_nothing(
    import_users: Importing, ana: User, on_conflict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", 2)
    text = "email\ndora@example.com\nana@example.com\nnobody\nelsa@example.com\nDora@example.com\n"
    would = import_users(text, on_conflict=on_conflict, dry_run=True)
    assert (addresses(), ImportRun.objects.count()) == (["ana@example.com"], 0)
    assert would.replace("Would be", "Done") == import_users(text, on_conflict=on_conflict)


def test_an_update_suspends_with_reason_and_end_and_is_recorded_once(import_users: Importing, ana: User) -> None:
    row = {"email": ana.email, "is_active": False, "suspension_reason": "Spam", "suspended_until": "2999-01-31T12:00Z"}
    for name in ("Ana G.", "Ana"):
        rows = lines(row, {"email": ana.email, "full_name": name})
        assert "2 updated" in import_users(rows, on_conflict="update")
    ana.refresh_from_db()
    assert (ana.is_active, ana.suspension_reason, ana.full_name) == (False, "Spam", "Ana")
    assert ana.suspended_until
    assert ana.suspended_until.isoformat() == "2999-01-31T12:00:00+00:00"
    assert AuditEvent.objects.filter(kind="user:suspended").count() == 1
    over = row | {"suspended_until": "2001-01-31T12:00Z"}
    assert "Line 1: Choose a time in the future." in import_users(lines(over), on_conflict="update")


@pytest.mark.parametrize("name", ["Support", "a b", "-", "x" * 65])
def test_a_role_with_an_invalid_name_is_not_created(import_users: Importing, name: str) -> None:
    before = Role.objects.count()
    said = import_users(lines({"email": "d@example.com", "role": name}), create_roles=True)
    assert "Line 1: role: " in said
    assert Role.objects.count() == before


def test_a_dry_run_creates_no_role(import_users: Importing) -> None:
    before = Role.objects.count()
    said = import_users(lines({"email": "d@example.com", "role": "support"}), create_roles=True, dry_run=True)
    assert "Would be: 1 created" in said
    assert Role.objects.count() == before


def test_new_users_without_a_password_are_invited_on_demand(import_users: Importing) -> None:
    rows = lines(
        {"email": "dora@example.com"},
        {"email": "elsa@example.com", "password_hash": BCRYPT},
        {"email": "flor@example.com", "is_active": False},
    )
    import_users(rows, invite=True)
    assert [(mail.kind, mail.email) for mail in OutboxMail.objects.all()] == [("invitation", "dora@example.com")]
    assert not OneTimeToken.objects.exists()


def test_a_registration_during_a_batch_is_a_conflict_like_any_other(
    import_users: Importing, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, where both transactions run at once: another one takes the address after the look-up."""
    looked_for: list[bool] = []

    def find_taken_keys(candidates: list[Any]) -> set[Any]:
        looked_for.append(True)
        return {"ana@example.com"} if len(looked_for) > 1 else set()

    monkeypatch.setattr("accounts.transfer.bulk_insert.find_taken_keys", find_taken_keys)
    assert "1 created, 0 updated, 1 skipped, 0 rejected" in import_users("email\nana@example.com\ndora@example.com\n")
    assert addresses() == ["ana@example.com", "dora@example.com"]


def test_an_import_is_audited_without_names(import_users: Importing) -> None:
    import_users("email\ndora@example.com\n")
    begun, ended = AuditEvent.objects.order_by("position")
    assert (begun.kind, begun.user_id, begun.data) == ("import:started", None, {"lines_done": 0})
    tally = {"created": 1, "updated": 0, "skipped": 0, "rejected": 0}
    assert (ended.kind, ended.user_id, ended.data) == ("import:finished", None, tally)


@pytest.mark.process
def test_an_import_that_was_killed_resumes_where_it_stopped(tmp_path: Path) -> None:
    """Each line is stored once and counted once."""
    folder = str(tmp_path / "var")
    users = tmp_path / "users.csv"
    users.write_text("email\n" + "".join(f"user{number}@example.com\n" for number in range(10_000)))
    create_tables(tmp_path / "var")
    command = [sys.executable, str(PROJECT / "manage.py"), "import_users", str(users), "--on-conflict", "fail"]
    with subprocess.Popen(command, env=clean_environment(DATA_DIR=folder), stderr=subprocess.DEVNULL) as process:
        eventually(lambda: _stored(tmp_path / "var") > 0, seconds=60)
        os.kill(process.pid, signal.SIGKILL)
    before = _stored(tmp_path / "var")
    assert 0 < before < 10_000
    ended = manage("import_users", str(users), "--on-conflict", "fail", DATA_DIR=folder)
    assert f"was stopped after {before} lines" in ended.stderr
    assert "10000 created, 0 updated, 0 skipped, 0 rejected" in ended.stdout
    assert _stored(tmp_path / "var") == 10_000


def _stored(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "usermanager.sqlite3")) as database:
        return int(database.execute("SELECT count(*) FROM accounts_user WHERE email LIKE 'user%'").fetchone()[0])


def test_a_user_without_a_time_of_creation_gets_the_time_of_the_import(import_users: Importing) -> None:
    before = timezone.now()
    import_users("email\ndora@example.com\n")
    assert before <= User.objects.get().created_at <= timezone.now()
