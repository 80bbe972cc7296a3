"""Objects that our own statements read have the same values, in all fields, as those that Django's ORM reads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Role, Session, User, constant_queries
from tests.notifications import databases

FILLED: dict[str, Callable[[Any], Any]] = {
    "BooleanField": lambda field: not field.default,
    "CharField": lambda field: "Ñañdú 100%% %s \N{GRINNING FACE}"[: field.max_length],
    "DateTimeField": lambda _field: datetime(2026, 1, 2, 23, 59, 59, 10, UTC),
    "GenericIPAddressField": lambda _field: "2001:db8::7",
    "JSONField": lambda _field: {"ñ\N{GRINNING FACE}": [1.5, None, True, "", {"a": 2**60}]},
    "PositiveIntegerField": lambda _field: 2**31 - 1,
    "UUIDField": lambda _field: UUID(int=2**128 - 1),
    "TextField": lambda _field: "'; \N{SNOWMAN}\n" * 99,
}


def filled(field: Any) -> Any:
    return FILLED[field.get_internal_type()](field)


def filled_without_fraction(field: Any) -> Any:
    """SQLite stores such a time without a point."""
    value = filled(field)
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


def empty(field: Any) -> Any:
    """Returns NULL where the field permits it, and otherwise its default."""
    if field.null:
        return None
    return field.get_default() if field.has_default() else filled(field)


def stored(value_of: Callable[[Any], Any]) -> Session:
    """Stores a session, a user and a role with such a value in each field, past all that their models would change."""
    role = Role.objects.create(name="to be replaced")
    user = User.objects.create(email="ana@example.com", role=role)
    session = Session.objects.create(user=user, expires_at=timezone.now(), idle_expires_at=timezone.now())
    for one in (role, user, session):
        fields = [field for field in one._meta.concrete_fields if not (field.primary_key or field.is_relation)]
        values = {field.name: value_of(field) for field in fields}
        type(one)._base_manager.filter(pk=one.pk).update(**values)
    return session


def contents(one: models.Model | None) -> dict[str, str]:
    """Returns all values with their types, and the times with their zones."""
    assert one is not None
    assert not one.get_deferred_fields()
    return {field.attname: repr(getattr(one, field.attname)) for field in one._meta.concrete_fields}


def test_each_field_has_the_value_that_the_orm_reads(database: str) -> None:
    for value_of in (filled, filled_without_fraction, empty):
        session = stored(value_of)
        theirs = Session.objects.select_related("user__role").get(pk=session.pk)
        ours = constant_queries.read_session(session.pk)
        assert ours is not None
        with CaptureQueriesContext(connection) as asked:
            for one, other in ((ours, theirs), (ours.user, theirs.user), (ours.user.role, theirs.user.role)):
                assert type(one) is type(other)
                assert contents(one) == contents(other)
                assert (one._state.db, one._state.adding) == (other._state.db, other._state.adding)
        assert not asked.captured_queries
        Session.objects.all().delete()
        User.objects.all().delete()
        Role.objects.filter(pk=theirs.user.role_id).delete()


@pytest.mark.parametrize("read", [constant_queries.read_user, constant_queries.lock_user])
def test_each_field_of_a_user_has_the_value_that_the_orm_reads(
    database: str, read: Callable[[UUID], User | None]
) -> None:
    for value_of in (filled, filled_without_fraction, empty):
        session = stored(value_of)
        theirs = User.objects.select_related("role").get(pk=session.user_id)
        with transaction.atomic():
            ours = read(session.user_id)
        assert ours is not None
        assert (contents(ours), contents(ours.role)) == (contents(theirs), contents(theirs.role))
        User.objects.all().delete()
        Role.objects.filter(pk=theirs.role_id).delete()


def test_a_locked_user_waits_for_no_other_user_of_the_role(postgres: str) -> None:
    """Another transaction can lock neither the user nor wait for their role."""
    user = stored(empty).user

    def locked_elsewhere() -> tuple[bool, bool]:
        try:
            with transaction.atomic():
                free = User.objects.select_for_update(skip_locked=True).filter(pk=user.pk).exists()
                role = Role.objects.select_for_update(skip_locked=True).filter(pk=user.role_id).exists()
                return not free, not role
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as thread:
        assert constant_queries.lock_user(user.pk) == user
        assert thread.submit(locked_elsewhere).result() == (True, False)
    with transaction.atomic():
        assert constant_queries.lock_user(uuid4()) is None


def test_it_takes_one_statement_that_django_can_log(session: Session) -> None:
    with CaptureQueriesContext(connection) as asked:
        assert constant_queries.read_session(session.pk) == session
    assert len(asked.captured_queries) == 1
    assert str(session.pk.hex) in asked.captured_queries[0]["sql"]


def test_an_unknown_session_or_user_is_none(session: Session) -> None:
    assert constant_queries.read_session(uuid4()) is None
    assert constant_queries.read_user(uuid4()) is None


def test_a_session_that_was_read_can_be_saved(session: Session) -> None:
    read = constant_queries.read_session(session.pk)
    assert read is not None
    read.generation += 1
    read.save(update_fields=["generation"])
    read.user.full_name = "Ana Lovelace"
    read.user.save(update_fields=["full_name"])
    assert Session.objects.get().generation == session.generation + 1
    assert User.objects.get().full_name == "Ana Lovelace"


def test_each_thread_and_each_database_has_its_own_connection(sqlite: str, postgres: str) -> None:
    """The fixtures replace the default database. `postgres` comes last, so it is the one in use."""
    on_postgres, found = stored(empty), []

    def read() -> None:
        found.append(constant_queries.read_session(on_postgres.pk))

    def read_in_a_thread() -> None:
        read()
        connection.close()

    thread = threading.Thread(target=read_in_a_thread)
    thread.start()
    thread.join()
    read()
    with databases.using(ENGINE="django.db.backends.sqlite3", NAME=sqlite.removeprefix("sqlite:///")):
        assert constant_queries.read_session(on_postgres.pk) is None
        on_sqlite = stored(filled)
        assert contents(constant_queries.read_session(on_sqlite.pk)) == contents(Session.objects.get(pk=on_sqlite.pk))
    read()
    assert found == [on_postgres] * 3
