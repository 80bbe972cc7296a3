"""Rows are shown as REST framework's own serializers would show them, field by field."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import cycle, islice
from typing import Any

import pytest
from django.db import models
from rest_framework.serializers import ModelSerializer

from accounts import login
from accounts.api import urls  # noqa: F401 - imports all views
from accounts.api.output import OutputSerializer
from accounts.api.serializers import AuditEventSerializer, RoleSerializer, SessionSerializer, UserSerializer
from accounts.api.user_scoped import PaginatedViewSet
from accounts.mfa import proofs
from accounts.models import Role, Session, User

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
#: What a column of each type may hold. The first value of a column of text or JSON isn't empty.
VALUES: dict[Any, list[Any]] = {
    models.CharField: ["Ana", "<Íñigo> 👋\n", ""],
    models.BooleanField: [True, False],
    models.DateTimeField: [
        DAY,
        DAY.replace(microsecond=1),
        DAY.replace(microsecond=120_000),
        DAY.replace(tzinfo=timezone(timedelta(hours=-5, minutes=30))),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    models.GenericIPAddressField: ["192.0.2.7", "2001:db8::1"],
}
OF_COLUMN: dict[str, list[Any]] = {
    "locale": ["es", "", "en"],
    "metadata": [{"z": 1, "a": {"zz": [1, "1", None, True]}}, {}],
    "permissions": [["users.view", "billing.refund"], ["*"], []],
    "data": [{"session": "1", "new": "b", "old": "a"}, {}],
    "purpose": ["verify_email", "password_reset"],
}
ROWS = 12


def subclasses(parent: Any) -> Iterator[Any]:
    for subclass in parent.__subclasses__():
        yield from (subclass, *subclasses(subclass))


def rows(model: Any) -> list[Any]:
    """Returns rows that have each of the values, and null where a column may be null."""
    columns = [column for column in model._meta.fields if not column.is_relation]
    made = [model(**({"role": Role(name="support")} if model is User else {})) for _ in range(ROWS)]
    for column in columns:
        values = OF_COLUMN.get(column.name) or next((VALUES[kind] for kind in type(column).mro() if kind in VALUES), [])
        for row, value in zip(made, islice(cycle([*values, *([None] if column.null else [])]), ROWS), strict=False):
            setattr(row, column.attname, value)
    return made


class Request:
    """The request of the user who reads: the second session, and an administrator."""

    auth: Session
    user = User(role=Role(name="admin"), email_verified=True)


@pytest.mark.parametrize("serializer", [*subclasses(OutputSerializer)])
def test_every_field_is_shown_as_rest_framework_shows_it(
    serializer: type[OutputSerializer[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_rows = rows(serializer.Meta.model)
    request = Request()
    request.auth = shown_rows[1] if serializer.Meta.model is Session else Session()
    fast = serializer(shown_rows, many=True, context={"request": request}).data
    monkeypatch.setattr(OutputSerializer, "to_representation", ModelSerializer.to_representation)
    slow = serializer(shown_rows, many=True, context={"request": request}).data
    assert [list(row) for row in fast] == [list(row) for row in slow]
    for name in serializer(shown_rows[0]).fields:
        assert [json.dumps(row[name]) for row in fast] == [json.dumps(row[name]) for row in slow], name


@pytest.mark.usefixtures("database")
def test_the_columns_of_a_list_are_shown_as_its_objects(person: Callable[..., User]) -> None:
    person("eva", metadata=OF_COLUMN["metadata"][0], locale="es")
    dan = person("dan", last_login_at=DAY)
    login.open_session(dan, proofs.PASSWORD)
    login.open_session(dan, proofs.PASSWORD)
    shown: list[Any] = [UserSerializer, AuditEventSerializer, RoleSerializer]
    for serializer in shown:
        found = serializer.Meta.model._base_manager.order_by("id")
        listed = found.values_list(*dict.fromkeys((*serializer.columns(), "id")), named=True)
        context = {"request": Request()}
        assert serializer(listed, many=True, context=context).data == serializer(found, many=True, context=context).data
        assert len(listed) >= 2


def test_every_list_shows_its_rows_that_way() -> None:
    shown_in_lists = {view.serializer_class for view in subclasses(PaginatedViewSet)} - {None}
    assert shown_in_lists == {UserSerializer, SessionSerializer, AuditEventSerializer, RoleSerializer}
    assert shown_in_lists <= set(subclasses(OutputSerializer))


def test_the_fields_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (user,) = rows(User)[:1]
    first = UserSerializer(user).data
    monkeypatch.setattr(ModelSerializer, "get_fields", None)
    assert UserSerializer(user).data == first
