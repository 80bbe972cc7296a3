"""manage.py export_users: what it writes imports again to the same users, and a spreadsheet runs none of it."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts import spreadsheets
from accounts.models import User
from tests.conftest import PASSWORD
from tests.transfer.conftest import Importing
from tests.usermanager.processes import PROJECT, clean_environment, manage

FIELDS = (
    *("id", "email", "email_key", "full_name", "role__name", "is_active", "email_verified", "locale", "metadata"),
    *("created_at", "last_login_at"),
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
    assert "3 created, 0 updated, 0 skipped, 0 rejected" in import_users((tmp_path / name).read_text())
    assert stored() == before
    assert list(hashes.all()) == kept
    assert User.objects.get(email="Bruno@Bücher.example").check_password(PASSWORD)


@pytest.mark.usefixtures("crowd")
def test_hashes_are_written_only_when_asked_for(tmp_path: Path) -> None:
    export(tmp_path / "users.csv")
    assert "password_hash" not in (tmp_path / "users.csv").read_text()
    assert (tmp_path / "users.csv").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("crowd")
def test_the_filters_of_the_api_narrow_it(tmp_path: Path) -> None:
    assert export(tmp_path / "users.jsonl", role="admin", is_active="false") == "Exported 1 user.\n"
    assert [json.loads(line)["email"] for line in (tmp_path / "users.jsonl").open()] == ["root@example.com"]
    with pytest.raises(CommandError) as refusal:
        export(tmp_path / "none.jsonl", is_active="perhaps")
    assert refusal.value.returncode == 2
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.usefixtures("crowd")
def test_a_spreadsheet_runs_no_cell(tmp_path: Path) -> None:
    export(tmp_path / "users.csv")
    with (tmp_path / "users.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert '\'=HYPERLINK("http://evil.example")' in cells
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


@given(st.text())
def test_what_was_defused_is_restored(cell: str) -> None:
    assert spreadsheets.restored(spreadsheets.defused(cell)) == cell
    assert spreadsheets.defused(cell)[:1] not in ("=", "+", "-", "@", "\t", "\r")


@pytest.mark.process
def test_a_pipe_takes_it_from_one_installation_to_the_next(tmp_path: Path) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    for folder in (here, there):
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
def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        export(tmp_path / "nowhere" / "users.csv")
