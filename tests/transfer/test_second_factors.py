"""Second factors stay out of exports and imports: a file can neither reveal, add nor remove one."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from accounts.models import TotpSecret, User
from tests import second_factors
from tests.transfer.conftest import Importing, lines


@pytest.mark.parametrize("name", ["users.csv", "users.jsonl"])
def test_an_export_holds_none_and_imports_without_them(
    ana: User, import_users: Importing, tmp_path: Path, name: str
) -> None:
    phone = second_factors.enrol(ana)
    file = tmp_path / name
    call_command("export_users", str(file), with_hashes=True, stdout=StringIO())
    text = file.read_text()
    assert not [word for word in ("mfa", "factor", "totp", "recovery", *phone.recovery_codes) if word in text]
    User.objects.all().delete()
    assert "1 created" in import_users(text, ignore_columns="id")
    assert not User.objects.get(email=ana.email).mfa_enabled


@pytest.mark.parametrize("column", ["mfa_enabled", "mfa_reset_at"])
def test_a_file_cannot_say_that_a_user_has_one(db: None, import_users: Importing, column: str) -> None:
    said = import_users(lines({"email": "dora@example.com", column: True}))
    assert f"Nothing was imported: --format usermanager doesn't read {column}." in said
    assert not User.objects.exists()


def test_an_update_leaves_the_factor_of_a_user(ana: User, import_users: Importing) -> None:
    second_factors.enrol(ana)
    row = TotpSecret.objects.values().get()
    record = {"id": str(ana.pk), "email": ana.email, "full_name": "Ana B.", "password_hash": ana.password}
    assert "1 updated" in import_users(lines(record), on_conflict="update")
    ana.refresh_from_db()
    assert (ana.full_name, ana.mfa_enabled, TotpSecret.objects.values().get()) == ("Ana B.", True, row)
