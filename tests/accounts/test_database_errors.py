"""What the database cannot do now is told from a mistake, on both databases, by errors that these raised themselves."""

import logging
from typing import Any

import pytest
from django.db import Error, connection
from django.test import Client

from accounts import database_errors
from accounts.models import Role
from tests.conftest import refused

ONLY_READ = {"sqlite": "PRAGMA query_only = ON", "postgresql": "SET default_transaction_read_only = on"}
NO_PATIENCE = {"sqlite": "PRAGMA busy_timeout = 1", "postgresql": "SET lock_timeout = 1"}
MISTAKES = (
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


def test_a_mistake_stays_one_and_a_lock_may_be_had_later() -> None:
    for statement in MISTAKES:
        error = error_of(statement)
        assert database_errors.refusal(error) is None, statement
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE accounts_role SET description = 'z'")
        execute(NO_PATIENCE[connection.vendor])
        assert database_errors.is_temporary(error_of("UPDATE accounts_role SET description = 'x'"))
    other.close()


def test_a_database_that_only_reads_is_left(caplog: pytest.LogCaptureFixture) -> None:
    execute(ONLY_READ[connection.vendor])
    error = error_of("UPDATE accounts_role SET description = 'x'")
    with caplog.at_level(logging.WARNING):
        refusal = database_errors.refusal(error)
    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.retry_after_seconds) == ("overloaded", 503, 5)
    assert caplog.messages[-1].startswith("answered with 503: ")
    if connection.vendor == "sqlite":  # a file has one server, and that is this process
        connection.close()
    assert Role.objects.update(description="y") == 2


def answers() -> list[Any]:
    """Of the API and of the panel, which both look for a user, over a connection that is as it is for each."""
    client, only_reads = Client(raise_request_exception=False), is_read_only()
    token = client.get("/admin/login/").cookies["csrftoken"].value
    form = {"username": "ana@example.com", "password": "x", "csrfmiddlewaretoken": token}
    from_api = client.post("/api/v1/auth/password/reset/", {"email": "ana@example.com"}, "application/json")
    if only_reads:
        execute(ONLY_READ[connection.vendor])
    return [from_api, client.post("/admin/login/", form, headers={"Accept": "text/html"})]


def is_read_only() -> bool:
    question = {"sqlite": "PRAGMA query_only", "postgresql": "SHOW transaction_read_only"}
    with connection.cursor() as cursor:
        cursor.execute(question[connection.vendor])
        return cursor.fetchone()[0] in (1, "on")


def test_api_and_pages_answer_503_for_the_one_and_500_for_the_other() -> None:
    execute(ONLY_READ[connection.vendor])
    from_api, page = answers()
    assert refused(from_api, 503, "overloaded")["title"] == "Overloaded"
    assert (page.status_code, page["Retry-After"], "text/html" in page["Content-Type"]) == (503, "5", True)
    connection.close()
    execute("ALTER TABLE accounts_user RENAME TO nobody")
    execute("ALTER TABLE notifications_outboxmail RENAME TO moved")
    assert [answer.status_code for answer in answers()] == [500, 500]
