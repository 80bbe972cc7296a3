"""The cast: ana and bruno are users, carla manages users, root is the admin; what they speak through; and databases."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.utils import translation
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from accounts import access_tokens, login, roles
from accounts.models import Role, User
from tests.notifications import databases

PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "staple battery horse correct"
MANAGER = ["users.view", "users.add", "users.change", "users.delete"]


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """The default one again after each test: a request leaves its own active, and commands speak what is active."""
    yield
    translation.deactivate()


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Makes somebody: person("dora", role="support", is_active=False)."""

    def make(name: str, role: str = roles.USER, **fields: Any) -> User:
        fields = {"full_name": name.title(), "email": f"{name}@example.com", "email_verified": True} | fields
        user = User(role=Role.objects.get(name=role), **fields)
        user.set_password(PASSWORD)
        user.save()
        return user

    return make


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana")


@pytest.fixture
def bruno(person: Callable[..., User]) -> User:
    return person("bruno")


@pytest.fixture
def carla(person: Callable[..., User], role: Callable[..., Role]) -> User:
    role("manager", *MANAGER)
    return person("carla", role="manager")


@pytest.fixture
def root(person: Callable[..., User]) -> User:
    return person("root", role=roles.ADMIN)


@pytest.fixture
def role(db: None) -> Callable[..., Role]:
    """Makes a role: role("support", "users.view")."""

    def make(name: str, *permissions: str) -> Role:
        return Role.objects.create(name=name, permissions=sorted(permissions))

    return make


@pytest.fixture
def stranger() -> APIClient:
    """Somebody who is not signed in."""
    return APIClient()


@pytest.fixture
def client_of() -> Callable[[User], APIClient]:
    """A client signed in as the user, with a session of their own: client_of(ana).get("/api/v1/users/me/")."""

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        session, _refresh = login.open_session(user)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
        return client

    return sign_in


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Checks that an answer is the problem document of this status and code, and returns it."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert document["status"] == status
    return document


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Path:
    """A file with all tables and roles, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "db.sqlite3"
    with django_db_blocker.unblock(), databases.using(**databases.on_sqlite(path)):
        call_command("migrate", verbosity=0)
    return path


@pytest.fixture
def sqlite(empty_sqlite: Path, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of an SQLite database, which is the default one meanwhile."""
    path = tmp_path / "db.sqlite3"
    shutil.copy(empty_sqlite, path)
    with django_db_blocker.unblock(), databases.using(**databases.on_sqlite(path)):
        yield f"sqlite:///{path}"


@pytest.fixture
def postgres(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of a PostgreSQL database, which is the default one meanwhile."""
    try:
        with (
            databases.new_on_postgres() as name,
            django_db_blocker.unblock(),
            databases.using(**databases.on_postgres(name)),
        ):
            call_command("migrate", verbosity=0)
            yield f"{databases.SERVER}/{name}"
    except psycopg.OperationalError:
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Each of the two databases in turn."""
    return str(request.getfixturevalue(request.param))


def missing(what: str) -> None:
    """Skips the test, but never where nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")
