"""manage.py import_users --dry-run shows what the import would do, line by line."""

from pathlib import Path

import pytest

from accounts.models import AuditEvent, ImportRun, User
from accounts.transfer import importing
from notifications.models import OutboxMail
from tests.transfer.conftest import Importing, lines


@pytest.fixture(params=[1, 2, 2000])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_SIZE", request.param)


@pytest.mark.usefixtures("batches", "ana", "root")
@pytest.mark.parametrize("on_conflict", ["skip", "update", "fail"])
def test_it_gives_the_same_tally_and_report(
    import_users: Importing, tmp_path: Path, bruno: User, on_conflict: str
) -> None:
    text = lines(
        {"email": "dora@example.com", "id": "8f9d5b1e-3b1f-4a53-9d6e-0a8d7f1c2b3a"},
        {"email": "ana@example.com", "full_name": "Ana García"},
        {"email": "elsa@example.com", "id": "8f9d5b1e-3b1f-4a53-9d6e-0a8d7f1c2b3a"},
        {"email": "root@example.com", "is_active": False},
        {"email": "nobody"},
        {"email": "flor@example.com", "id": str(bruno.pk)},
        {"email": "bruno@example.com", "id": "8f9d5b1e-3b1f-4a53-9d6e-0a8d7f1c2b3a"},
        {"email": "Dora@example.com", "full_name": "Dora Díaz"},
        {"email": "flor@example.com"},
        {"email": "elsa@example.com", "role": "nonsense"},
    )
    stored = _stored()
    would = import_users(text, on_conflict=on_conflict, dry_run=True, report=str(tmp_path / "would.csv"))
    assert _stored() == stored
    done = import_users(text, on_conflict=on_conflict, report=str(tmp_path / "done.csv"))
    assert would.replace("Would be", "Done") == done
    assert (tmp_path / "would.csv").read_text() == (tmp_path / "done.csv").read_text()


def _stored() -> tuple[object, ...]:
    users = list(User.objects.order_by("pk").values())
    return users, AuditEvent.objects.count(), OutboxMail.objects.count(), ImportRun.objects.count()


@pytest.mark.usefixtures("root")
def test_it_reports_the_errors_of_use_cases(import_users: Importing, ana: User) -> None:
    text = lines({"email": "root@example.com", "is_active": False}, {"email": "x@example.com", "id": str(ana.pk)})
    said = import_users(text, on_conflict="update", dry_run=True, allow_privileged=True)
    assert "Line 1: This is the last active administrator." in said
    assert "Line 2: Another user has this id." in said
    assert "0 created, 0 updated, 0 skipped, 2 rejected" in said


@pytest.mark.usefixtures("ana")
def test_it_sends_no_invitation(import_users: Importing) -> None:
    before = _stored()
    assert "1 created" in import_users("email\ndora@example.com\n", invite=True, dry_run=True)
    assert _stored() == before


def test_a_line_with_the_address_of_a_rejected_line_is_imported(import_users: Importing, ana: User) -> None:
    text = lines({"email": "dora@example.com", "id": str(ana.pk)}, {"email": "dora@example.com"})
    assert "1 created, 0 updated, 1 skipped" in import_users(text)
    assert User.objects.filter(email="dora@example.com").exists()
