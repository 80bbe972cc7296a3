"""Many users in one statement: stored like users that are saved one by one, and found by the search."""

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts import search
from accounts.models import Role, User
from accounts.models.identifiers import new_id
from accounts.transfer import user_table
from accounts.transfer.user_table import Values


def values(name: str, **more: Any) -> Values:
    address = f"{name}@example.com"
    role = Role.objects.get(name="user")
    return {"id": new_id(), "email": address, "email_key": address, "password": "!", "role_id": role.pk, **more}


def all_values() -> Values:
    """Values of all fields that differ from the defaults, and fit together."""
    now = timezone.now()
    return values(
        "Dora.Díaz",
        email_key="dora.diaz@example.com",
        full_name="Dora Díaz",
        is_active=False,
        suspended_until=now,
        suspension_reason="spam",
        invited_at=now,
        invitation_ended_at=now,
        email_verified=True,
        has_unproven_password=True,
        mfa_enabled=True,
        mfa_required_since=now,
        mfa_reset_at=now,
        locale="es",
        metadata={"plan": ["pro", 'é"\\', 1.5, None]},
        deletion_began_at=now,
        created_at=now,
        last_login_at=now,
    )


def stored() -> dict[str, Any]:
    """Returns the only row as the database holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_user")
        (row,) = cursor.fetchall()
        return {
            column.name if hasattr(column, "name") else column[0]: row[n] for n, column in enumerate(cursor.description)
        }


def test_all_values_names_each_field(db: None) -> None:
    """So that the next test compares a new field, too."""
    composed = {"search_text", "updated_at"}
    fields = {field.attname for field in User._meta.concrete_fields} - composed
    given = all_values()
    assert given.keys() == fields
    defaults = User()
    unlike = {"id", "role_id", "email", "email_key", "password"}
    assert not [name for name in fields - unlike if given[name] == getattr(defaults, name)]


@pytest.mark.parametrize("is_full", [True, False])
def test_a_row_equals_that_of_a_saved_user(database: str, is_full: bool) -> None:
    given = all_values() if is_full else values("dora", created_at=timezone.now())
    user_table.insert([given])
    inserted = stored()
    User.objects.all().delete()
    User.objects.bulk_create([User(**given)])
    created = stored()
    assert inserted.pop("updated_at").__class__ is created.pop("updated_at").__class__
    assert inserted == created


def test_users_of_several_statements_are_found_by_the_search(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_table, "ROWS_PER_STATEMENT", 3)
    monkeypatch.setattr(search, "COMMON_THRESHOLD", 100)  # so that the search asks the index
    names = ["ana", "bruno", "carla", "dora", "emilio", "fatima", "gonzalo"]
    user_table.insert([values(f"x.{name}", full_name=f"Señora {name.title()}") for name in names])
    for name in names:
        assert [user.email for user in search.containing(User.objects.all(), name)] == [f"x.{name}@example.com"]
    assert search.containing(User.objects.all(), "senora").count() == len(names)


def test_no_users_are_no_statement(database: str) -> None:
    user_table.insert([])
    assert not User.objects.exists()
