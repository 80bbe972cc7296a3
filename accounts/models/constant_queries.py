"""Frequent reads, each with one SQL statement that is composed once and not for each request.

Every signed-in request reads its session with its user and their role, a change of one's own account locks and reads
the user again, and each email reads its user. Django builds and compiles such a query each time: 1,100 and 450 µs,
where this module takes 80 and 50. The objects are the same as those of `select_related`.

Columns and converters come from the models, so a new field needs no change here.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.db.models.base import ModelState

from accounts.models.role import Role
from accounts.models.session import Session
from accounts.models.user import User

# Tables have short names in the statements: on SQLite, Django reads the whole text of a statement at each execution. It
# searches for `%s` with a regular expression, which takes 30 µs here. A parameter with a name takes one.
_NAMES: dict[type[Model], str] = {Session: "s", User: "u", Role: "r"}
_ATTRIBUTES = {model: [field.attname for field in model._meta.concrete_fields] for model in _NAMES}
_WITH_ROLE = f"JOIN {Role._meta.db_table} r ON r.id = u.role_id"
_SESSION = (
    f"{Session._meta.db_table} s JOIN {User._meta.db_table} u ON u.id = s.user_id {_WITH_ROLE} WHERE s.id = %(id)s"
)
_USER = f"{User._meta.db_table} u {_WITH_ROLE} WHERE u.id = %(id)s"


class _Query:
    """Reads a row of each model through one connection. Django's converters, such as that of SQLite for times, belong
    to a connection."""

    def __init__(self, connection: BaseDatabaseWrapper, models: Sequence[type[Model]], rest: str) -> None:
        columns = [field.get_col(_NAMES[model]) for model in models for field in model._meta.concrete_fields]
        selected = ", ".join(
            f"{column.alias}.{connection.ops.quote_name(str(column.target.column))}" for column in columns
        )
        self.connection = connection
        self.models = models
        self.statement = f"SELECT {selected} FROM {rest}"  # noqa: S608 - names of the models alone
        self.converters = [
            (index, converter, column)
            for index, column in enumerate(columns)
            for converter in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
        ]

    def read(self, key: UUID) -> list[Any] | None:
        """Returns the object of each model, or None if no row has this id."""
        connection = self.connection
        with connection.cursor() as cursor:
            cursor.execute(self.statement, {"id": User._meta.pk.get_db_prep_value(key, connection)})
            row = cursor.fetchone()
        if row is None:
            return None
        values = list(row)
        for index, converter, column in self.converters:
            if (value := values[index]) is not None:  # NULL, as in a third of the columns, is None for each converter
                values[index] = converter(value, column, connection)
        remaining = iter(values)
        return [_stored_object(model, remaining, connection.alias) for model in self.models]


def _stored_object(model: type[Model], values: Iterator[Any], alias: str) -> Any:
    """Returns what `model.from_db()` would, with the next values of the row.

    `from_db()` sets each attribute and sends two signals, which takes ten times as long: 36 of the 650 µs of a
    signed-in request. No model here has an `__init__` of its own, and neither signal has a receiver.
    """
    stored = model.__new__(model)
    stored._state = ModelState()
    stored._state.adding, stored._state.db = False, alias
    stored.__dict__.update(zip(_ATTRIBUTES[model], values))  # noqa: B905 - leaves the values of the next model
    return stored


class _Queries:
    """The queries of one connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        lock = " FOR UPDATE OF u" if connection.features.has_select_for_update_of else ""
        self.session = _Query(connection, [Session, User, Role], _SESSION)
        self.user = _Query(connection, [User, Role], _USER)
        self.locked_user = _Query(connection, [User, Role], _USER + lock)


_of_thread = threading.local()


def read_session(session_id: UUID) -> Session | None:
    """Returns the session, whether it is active or not, with its user and their role. None if there is none."""
    found = _queries().session.read(session_id)
    if found is None:
        return None
    session: Session
    session, user, role = found
    session.user, user.role = user, role
    return session


def read_user(user_id: UUID) -> User | None:
    """Returns the user with their role. None if there is none."""
    return _with_role(_queries().user.read(user_id))


def lock_user(user_id: UUID) -> User | None:
    """Locks the user until the transaction ends, and returns them with their role. None if there is none.

    Call it inside a transaction. On SQLite, the transaction itself is the lock.
    """
    query = _queries().locked_user
    # If the user got another role while this waited for the lock, PostgreSQL compares their new role with the one that
    # it read before, and finds no row. It holds the lock by then, so the second answer is right.
    return _with_role(query.read(user_id) or query.read(user_id))


def _with_role(found: list[Any] | None) -> User | None:
    if found is None:
        return None
    user: User
    user, role = found
    user.role = role
    return user


def _queries() -> _Queries:
    connection = connections[DEFAULT_DB_ALIAS]
    queries: _Queries | None = getattr(_of_thread, "queries", None)
    if queries is None or queries.connection is not connection:
        queries = _of_thread.queries = _Queries(connection)
    return queries
