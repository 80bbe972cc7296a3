"""Stored secrets get another key in slices, one by one, on each database."""

from pathlib import Path

import psycopg
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts import encrypted_secrets, encryption, pruning
from accounts.encryption import UnusableKeys
from accounts.mfa import totp
from accounts.models import TotpSecret
from accounts.models.totp_secret import KEY_ID
from tests.autocommit.scene import Scene

NUMBER, SLICE = 7, 3
ON_POSTGRES = pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)


@pytest.fixture
def rows(scene: Scene, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TotpSecret]:
    """The only secrets in the database, under the only key."""
    monkeypatch.setattr(pruning, "BATCH_SIZE", SLICE)
    settings.DATA_DIR, settings.ENCRYPTION_KEYS = tmp_path, []
    TotpSecret.objects.all().delete()
    return [totp.create(scene.person("ana"), name="Phone")[0] for _number in range(NUMBER)]


def plain(row: TotpSecret) -> bytes:
    stored = TotpSecret.objects.get(pk=row.pk)
    return encryption.decrypt(bytes(stored.secret), bound_to=totp._bound_to(stored.pk, stored.user_id))


def test_all_secrets_get_the_first_key_and_stay_the_same(rows: list[TotpSecret]) -> None:
    before = [plain(row) for row in rows]
    new = encryption.add_key()
    with CaptureQueriesContext(connection) as executed:
        assert encrypted_secrets.reencrypt() == (NUMBER, 0)
    assert [plain(row) for row in rows] == before
    assert encrypted_secrets.counts() == {new: NUMBER}
    statements = [query["sql"] for query in executed.captured_queries]
    assert sum(statement.startswith("BEGIN") for statement in statements) == 3
    assert encrypted_secrets.reencrypt() == (0, 0)


def test_secrets_under_several_keys_get_the_first(rows: list[TotpSecret]) -> None:
    for row in rows[:4]:
        encryption.add_key()
        assert totp.reencrypt(row)
    new = encryption.add_key()
    assert len(encrypted_secrets.counts()) == 5
    assert encrypted_secrets.reencrypt() == (NUMBER, 0)
    assert encrypted_secrets.counts() == {new: NUMBER}


def test_a_secret_that_changed_since_it_was_read_is_not_overwritten(rows: list[TotpSecret]) -> None:
    read_before, other = rows[0], encryption.encrypt(b"other", bound_to=b"")
    TotpSecret.objects.filter(pk=read_before.pk).update(secret=other)
    assert not totp.reencrypt(read_before)
    assert bytes(TotpSecret.objects.get(pk=read_before.pk).secret) == other


@ON_POSTGRES
def test_it_passes_over_the_row_of_a_request_without_waiting(database: str, rows: list[TotpSecret]) -> None:
    new = encryption.add_key()
    with psycopg.connect(database) as request:
        request.execute("SELECT 1 FROM accounts_totpsecret WHERE id = %s FOR UPDATE", [rows[0].pk])
        assert encrypted_secrets.reencrypt() == (NUMBER - 1, 1)
    assert encrypted_secrets.reencrypt() == (1, 0)
    assert encrypted_secrets.counts() == {new: NUMBER}


def test_a_missing_key_is_found_with_one_query_for_each_key(
    rows: list[TotpSecret], settings: Settings, tmp_path: Path
) -> None:
    old = encryption.key_ids()[0]
    encryption.add_key()
    totp.reencrypt(rows[0])
    with CaptureQueriesContext(connection) as executed:
        encrypted_secrets.require_keys()
    assert len(executed) == 3
    file = tmp_path / "encryption_keys"
    file.write_text(file.read_text().split(",")[0])
    with pytest.raises(UnusableKeys, match=f"^{file} cannot be used: write also the key {old.hex()}, "):
        encrypted_secrets.require_keys()
    settings.ENCRYPTION_KEYS = [file.read_text()]
    with pytest.raises(UnusableKeys, match=r"^ENCRYPTION_KEYS cannot be used"):
        encrypted_secrets.require_keys()


def test_the_queries_use_the_index(rows: list[TotpSecret]) -> None:
    """PostgreSQL would read a small table as a whole, if it could."""
    ids = TotpSecret.objects.annotate(key_id=KEY_ID).order_by("key_id").values_list("key_id")
    queries = [ids[:1], ids.filter(key_id__gt=b"1234")[:1], encrypted_secrets._encrypted_with(b"1234").order_by("pk")]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for query in queries:
            assert "totp_secret_key" in query.explain(), query.query
