"""manage.py import_users imports a user without the parts that cannot be stored, and reports each of them."""

import csv
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from accounts import passwords
from accounts.models import AuditEvent, User
from accounts.transfer import importing
from accounts.transfer.bulk_insert import Tally
from accounts.transfer.importing import Import
from notifications.models import OutboxMail
from tests.transfer.conftest import Importing, lines

BCRYPT = "$2b$04$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq"
BROKEN: dict[str, Any] = {
    "full_name": "Dora\nDíaz",
    "locale": "fr",
    "metadata": {"a": "x" * 16384},
    "password_hash": "md5$salt$hash",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *BROKEN.items(),
        ("full_name", "x" * 151),
        ("full_name", 7),
        ("metadata", "[]"),
        ("metadata", {"a": "\u0000"}),
        ("password_hash", "$pbkdf2-sha256$99999999$aK3VGuMc$UHUV4W"),
        ("password_hash", 7),
        ("suspension_reason", "a\tb"),
    ],
)
def test_a_user_is_imported_without_an_invalid_value(import_users: Importing, name: str, value: Any) -> None:
    whole = {"full_name": "Dora", "locale": "es", "metadata": {"plan": "pro"}, "password_hash": BCRYPT}
    said = import_users(lines({"email": "dora@example.com", "is_active": False, **whole, name: value}))
    assert f"Line 1: {name}: " in said
    assert "; imported without it\n" in said
    assert "Done: 1 created, 0 updated, 0 skipped, 0 rejected, 1 warnings.\n" in said
    dora = User.objects.get()
    missing = {"full_name": "", "locale": "", "metadata": {}, "has_password": False}
    expected = {**whole, "has_password": True} | {"suspension_reason": ""}
    expected |= {"has_password": False} if name == "password_hash" else {name: missing.get(name, "")}
    assert dora.has_usable_password() == expected["has_password"]
    for field in ("full_name", "locale", "metadata", "suspension_reason"):
        assert getattr(dora, field) == expected[field]


def test_a_strict_import_rejects_the_user(import_users: Importing) -> None:
    rows = [{"email": f"{name.replace('_', '.')}@example.com", name: value} for name, value in BROKEN.items()]
    said = import_users(lines(*rows), strict=True)
    assert "Done: 0 created, 0 updated, 0 skipped, 4 rejected.\n" in said
    assert not User.objects.exists()


def test_a_user_without_a_hash_sets_a_password_by_email(import_users: Importing) -> None:
    import_users(lines({"email": "dora@example.com", "password_hash": BROKEN["password_hash"]}))
    passwords.request_reset("dora@example.com")
    assert [(mail.kind, mail.email) for mail in OutboxMail.objects.all()] == [("password_reset", "dora@example.com")]
    import_users(lines({"email": "elsa@example.com", "password_hash": "?"}), invite=True)
    assert OutboxMail.objects.filter(kind="invitation", email="elsa@example.com").exists()


def test_an_update_ignores_invalid_values(import_users: Importing, ana: User) -> None:
    before = User.objects.filter(pk=ana.pk).values().get()
    said = import_users(lines({"email": ana.email, **BROKEN}), on_conflict="update")
    assert "0 created, 1 updated, 0 skipped, 0 rejected, 4 warnings" in said
    assert User.objects.filter(pk=ana.pk).values().get() == before
    assert "1 skipped, 0 rejected.\n" in import_users(lines({"email": ana.email, **BROKEN}))


@pytest.mark.parametrize("size", [1, 2, 2000])
@pytest.mark.parametrize("on_conflict", ["skip", "update", "fail"])
def test_a_dry_run_gives_the_same_warnings(
    import_users: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_conflict: str, size: int
) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", size)
    text = lines(
        {"email": "dora@example.com", **BROKEN},
        {"email": "nobody", **BROKEN},
        {"email": "elsa@example.com", "full_name": "x" * 151},
        *([] if on_conflict == "fail" else [{"email": "dora@example.com", "locale": "fr"}]),
    )
    would = import_users(text, on_conflict=on_conflict, dry_run=True, report=str(tmp_path / "would.csv"))
    done = import_users(text, on_conflict=on_conflict, report=str(tmp_path / "done.csv"))
    assert would.replace("Would be", "Done") == done
    assert f"1 rejected, {6 if on_conflict == 'update' else 5} warnings" in done
    assert (tmp_path / "would.csv").read_text() == (tmp_path / "done.csv").read_text()
    ended = AuditEvent.objects.order_by("position").last()
    assert ended
    assert ended.data["warnings"] == (6 if on_conflict == "update" else 5)


def test_an_import_that_was_stopped_reports_each_warning_once(
    import_users: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lines(*({"email": f"user{number}@example.com", "locale": "fr"} for number in range(3)), {"email": "nobody"})
    report, conclude = tmp_path / "report.csv", Import._end_batch

    def stop_at_the_second(work: Import, lines: int, tally: Tally, report_bytes: int) -> None:
        if lines == 2:
            raise CommandError("stopped")
        conclude(work, lines, tally, report_bytes)

    monkeypatch.setattr(importing, "BATCH_SIZE", 1)
    with monkeypatch.context() as stopping:
        stopping.setattr(Import, "_end_batch", stop_at_the_second)
        assert "stopped" in import_users(text, report=str(report))
    assert "3 created, 0 updated, 0 skipped, 1 rejected, 3 warnings" in import_users(text, report=str(report))
    with report.open(newline="") as file:
        rows = [(line, kind) for line, _reason, kind in csv.reader(file)]
    assert rows == [("line", "kind"), *((str(number), "warning") for number in (1, 2, 3)), ("4", "rejected")]
