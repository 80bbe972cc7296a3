"""Rows that our own statements write have the same values, in all fields, as those that Django's ORM writes."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEvent, Role, User, constant_writes
from accounts.models.identifiers import new_id
from tests.accounts.test_constant_queries import contents, empty, filled, filled_without_fraction

VALUES = [filled, filled_without_fraction, empty]


def role_with(value_of: Any) -> Role:
    fields = [field for field in Role._meta.concrete_fields if not field.primary_key]
    return Role(**{field.name: value_of(field) for field in fields})


def user_of(role: Role, value_of: Any) -> User:
    """Returns an unsaved user. They are active, and so have no suspension, which a constraint would reject."""
    fields = [field for field in User._meta.concrete_fields if not (field.primary_key or field.is_relation)]
    values = {field.name: value_of(field) for field in fields}
    values |= {"email": "ana@example.com", "is_active": True, "suspended_until": None, "suspension_reason": ""}
    return User(role=role, **values)


def written(row: models.Model) -> dict[str, str]:
    return contents(type(row)._base_manager.get(pk=row.pk))


@pytest.mark.parametrize("value_of", VALUES)
def test_it_inserts_the_values_that_the_orm_inserts(database: str, value_of: Any) -> None:
    role = Role.objects.create(name="role")
    user = user_of(role, value_of)
    user.email_key = user.email
    with CaptureQueriesContext(connection) as executed:
        constant_writes.insert(user)
    assert len(executed.captured_queries) == 1
    assert (user._state.adding, user._state.db) == (False, "default")
    ours = written(user)
    assert ours == contents(user)
    User.objects.all().delete()
    user.save_base(force_insert=True)
    assert ours | {"updated_at": ""} == written(user) | {"updated_at": ""}


@pytest.mark.parametrize("value_of", VALUES)
def test_it_updates_the_fields_that_the_orm_updates(database: str, value_of: Any) -> None:
    role, other = Role.objects.create(name="role"), Role.objects.create(name="other")
    user = User.objects.create(email="ana@example.com", role=role)
    bob = User.objects.create(email="bob@example.com", role=role)
    before = written(bob)
    changed = user_of(other, value_of)
    changed.pk, changed.email_key = user.pk, changed.email
    names = {field.name for field in User._meta.concrete_fields if not field.primary_key}
    constant_writes.update(changed, names)
    assert written(user) == contents(changed)
    assert written(bob) == before


def test_it_updates_no_other_field(ana: User) -> None:
    stored = written(ana)
    ana.full_name, ana.locale = "Ana García", "es"
    constant_writes.update(ana, ["locale"])
    assert written(ana) == stored | {"locale": "'es'"}


def test_a_saved_user_has_all_fields_that_depend_on_the_change(ana: User) -> None:
    before = ana.updated_at
    ana.full_name = "Ana García"
    ana.save(update_fields=["full_name"])
    stored = User.objects.get(pk=ana.pk)
    assert stored.updated_at > before
    assert "ana garcia" in stored.search_text


def test_an_unknown_field_and_a_missing_row_are_errors(ana: User) -> None:
    with pytest.raises(ValueError, match="no_field"):
        constant_writes.update(ana, ["full_name", "no_field"])
    User.objects.all().delete()
    with pytest.raises(DatabaseError, match="gone"):
        constant_writes.update(ana, ["full_name"])


def test_one_event_has_the_values_of_one_of_many(database: str) -> None:
    def event(position: int) -> AuditEvent:
        return AuditEvent(
            kind="user:changed",
            user_id=user_id,
            created_at=now,
            ip="2001:db8::7",
            data={"ñ": [None, 1.5]},
            chain=0,
            position=position,
            hash="f" * 64,
        )

    user_id, now = new_id(), timezone.now()
    AuditEvent.objects.append([event(1)])
    AuditEvent.objects.append([event(2), event(3)])
    one, other, _third = AuditEvent.objects.order_by("position")
    assert contents(one) | {"id": "", "position": ""} == contents(other) | {"id": "", "position": ""}
