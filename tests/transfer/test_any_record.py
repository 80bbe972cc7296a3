"""The import accepts or rejects a record with any values. No record ends the import."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.transfer import files
from accounts.transfer.formats import FORMATS
from accounts.transfer.importing import Import
from tests.transfer.conftest import Importing, lines

DEEP = "[" * 50_000
KEYS = (
    *("id", "email", "full_name", "role", "is_active", "email_verified", "locale", "metadata", "created_at"),
    *("last_login_at", "password_hash", "raw_user_meta_data", "encrypted_password", "banned_until", "deleted_at"),
    *("createdTimestamp", "attributes", "firstName", "credentials", "type", "secretData", "credentialData", "value"),
    *("salt", "algorithm", "hashIterations", "additionalParameters", "memory", "parallelism", "user_metadata", "name"),
    *("fields", "password", "last_name", "hashed_password", "is_verified", "customAttributes", "createdAt", "disabled"),
    *("passwordHash", "lastSignedInAt", "phoneNumber", "user_pass", "user_registered", "display_name", "user_email"),
)
HASHES = st.from_regex(
    r"\A(\$2b\$04\$[./A-Za-z0-9]{53}|scrypt\$16\$[^$]{1,9}\$8\$1\$[A-Za-z0-9+/]{1,9}=?"
    r"|pbkdf2_sha256\$[1-9]\$[^$]{1,9}\$[A-Za-z0-9+/]{1,9}=?|foreign_pbkdf2\$sha[0-9]{1,3},[1-9]\$\$[A-Za-z0-9+/]{1,9})\Z"
)
ODD = ("password", "argon2", "pbkdf2-sha256", "infinity", "9999-12-31T23:59:59-10:00", "1e400", "[[", "{}", "\ud800")
NUMBERS = st.integers() | st.floats() | st.integers(10**17, 10**40)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text(st.characters()) | st.sampled_from(ODD) | HASHES


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | objects(inner) | objects(inner).map(json.dumps)


VALUES = st.recursive(PLAIN, nested, max_leaves=8)
RECORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12)


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(record=RECORDS)
def test_any_record_is_imported_or_rejected(name: str, record: dict[str, Any]) -> None:
    User.objects.all().delete()
    address = FORMATS[name].layout.email_column
    text = json.dumps({address: "dora@example.com", **record}) + "\n" + json.dumps({address: "ana@example.com"})
    work = Import(FORMATS[name], lambda rejections, stands: stands, "")
    work.run(files.read(BytesIO(text.encode())), lambda: None)
    assert work.tally.created + work.tally.skipped + work.tally.rejected == 2
    assert work.tally.created


def password(**how: Any) -> list[dict[str, Any]]:
    secret = {"value": "YWJj", "salt": "YWJj", **how.pop("secret", {})}
    data = {"algorithm": "argon2", "hashIterations": 1, **how}
    return [{"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(data)}]


@pytest.mark.parametrize(
    "odd",
    [
        {"createdTimestamp": 10**30},
        {"createdTimestamp": 10**17},
        {"createdTimestamp": "soon"},
    ],
)
def test_an_invalid_record_is_rejected_and_the_others_are_imported(
    import_users: Importing, odd: dict[str, Any]
) -> None:
    said = import_users(lines({"email": "odd@example.com", **odd}, {"email": "ana@example.com"}), format="keycloak")
    assert "1 created, 0 updated, 0 skipped, 1 rejected" in said
    assert [user.email for user in User.objects.all()] == ["ana@example.com"]


@pytest.mark.parametrize(
    "odd",
    [
        {"credentials": "abc"},
        {"credentials": {"type": "password"}},
        {"credentials": ["x"]},
        {"credentials": [{"type": "password", "secretData": DEEP}]},
        {"credentials": password(additionalParameters=[])},
        {"credentials": password(additionalParameters={"type": [], "memory": ["1"], "parallelism": ["1"]})},
        {"credentials": password(algorithm="pbkdf2-sha256", secret={"value": 5})},
        {"credentials": password(algorithm="pbkdf2-md5")},
        {"attributes": DEEP},
        {"attributes": "no JSON"},
    ],
)
def test_a_user_is_imported_without_an_invalid_value_unless_it_is_strict(
    import_users: Importing, odd: dict[str, Any]
) -> None:
    text = lines({"email": "odd@example.com", **odd})
    assert "0 created, 0 updated, 0 skipped, 1 rejected." in import_users(text, format="keycloak", strict=True)
    said = import_users(text, format="keycloak")
    assert "1 created, 0 updated, 0 skipped, 0 rejected, 1 warnings" in said
    assert "imported without it" in said


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_time_outside_the_range_of_utc_is_rejected(import_users: Importing, time: str, dry_run: bool) -> None:
    said = import_users(lines({"email": "ana@example.com", "created_at": time}), dry_run=dry_run)
    assert "Line 1: created_at: write a time" in said
    assert not User.objects.exists()
