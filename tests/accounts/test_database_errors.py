"""Temporary database errors differ from errors of the program. Each database raises the errors itself."""

import logging
from typing import Any

import pytest
from django.db import Error, connection
from django.test import Client

from accounts import database_errors
from accounts.models import Role
from tests.conftest import refused

MAKE_READ_ONLY = {"sqlite": "PRAGMA query_only = ON", "postgresql": "SET default_transaction_read_only = on"}
SHORTEN_LOCK_TIMEOUT = {"sqlite": "PRAGMA busy_timeout = 1", "postgresql": "SET lock_timeout = 1"}
PROGRAMMING_ERRORS = (
    "SELECT nothing FROM nowhere",
    "SELECT nothing FROM accounts_role",
    "SELEC 1",
    "INSERT INTO accounts_role (name, description, permissions, is_builtin) VALUES ('user', '', '[]', false)",
    f"SELECT {'(' * 20_000}1{')' * 20_000}",
)

pytestmark = pytest.mark.usefixtures("database")


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def error_of(statement: str) -> Error:
    with pytest.raises(Error) as raised:
        execute(statement)
    return raised.value


def test_a_lock_timeout_is_temporary_and_a_program_error_is_not() -> None:
    for statement in PROGRAMMING_ERRORS:
        error = error_of(statement)
        assert database_errors.handle(error) is None, statement
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE accounts_role SET description = 'z'")
        execute(SHORTEN_LOCK_TIMEOUT[connection.vendor])
        assert database_errors.is_temporary(error_of("UPDATE accounts_role SET description = 'x'"))
    other.close()


def test_a_connection_to_a_read_only_server_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    execute(MAKE_READ_ONLY[connection.vendor])
    error = error_of("UPDATE accounts_role SET description = 'x'")
    with caplog.at_level(logging.WARNING):
        overloaded = database_errors.handle(error)
    assert overloaded is not None
    assert (overloaded.code, overloaded.status, overloaded.retry_after_seconds) == ("overloaded", 503, 5)
    assert caplog.messages[-1].startswith("answered with 503: ")
    if connection.vendor == "sqlite":  # a file has one server, and that is this process
        connection.close()
    assert Role.objects.update(description="y") == 2


def answers() -> list[Any]:
    """Of the API and of the panel, which both look for a user, over a connection that is as it is for each."""
    client, was_read_only = Client(raise_request_exception=False), is_read_only()
    token = client.get("/admin/login/").cookies["csrftoken"].value
    form = {"username": "ana@example.com", "password": "x", "csrfmiddlewaretoken": token}
    from_api = client.post("/api/v1/auth/password/reset/", {"email": "ana@example.com"}, "application/json")
    if was_read_only:
        execute(MAKE_READ_ONLY[connection.vendor])
    return [from_api, client.post("/admin/login/", form, headers={"Accept": "text/html"})]


def is_read_only() -> bool:
    question = {"sqlite": "PRAGMA query_only", "postgresql": "SHOW transaction_read_only"}
    with connection.cursor() as cursor:
        cursor.execute(question[connection.vendor])
        return cursor.fetchone()[0] in (1, "on")


def test_temporary_errors_return_503_and_others_500(caplog: pytest.LogCaptureFixture) -> None:
    execute(MAKE_READ_ONLY[connection.vendor])
    from_api, page = answers()
    assert refused(from_api, 503, "overloaded")["title"] == "Overloaded"
    assert (page.status_code, page["Retry-After"], "text/html" in page["Content-Type"]) == (503, "5", True)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    connection.close()
    execute("ALTER TABLE accounts_user RENAME TO nobody")
    execute("ALTER TABLE notifications_outboxmail RENAME TO moved")
    assert [answer.status_code for answer in answers()] == [500, 500]
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["django.request"] * 2
