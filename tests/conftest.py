"""The users of all tests, their HTTP clients, and databases. Ana and bruno are users, carla manages them, root is the
administrator.
"""

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from _pytest.nodeid import coerce_node_id
from django.conf import settings
from django.core.management import call_command
from django.urls import get_resolver
from django.utils import translation
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient
from whitenoise.middleware import WhiteNoiseMiddleware

from accounts import login, permissions
from accounts.hashing import hashers, limiter
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import Role, User
from tests.api import routes
from tests.notifications import databases

PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "staple battery horse correct"
#: Codes of errors of the server and of HTTP itself, which the OpenAPI document does not repeat for each operation.
OF_ALL_OPERATIONS = {"server_error", "parse_error", "method_not_allowed"}
MANAGER = ["users.view", "users.add", "users.change", "users.delete"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Runs one process more than there are cores: often one of them waits, for a timeout or for a process to start."""
    return (os.cpu_count() or 1) + 1


def pytest_collection() -> None:
    """Turns garbage collection off while pytest loads the tests, which creates many objects and little garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leaves all objects of the loaded tests and libraries out of later garbage collections, which would visit each of
    them and find nothing."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs the tests of processes first. A long test at the end would leave the other test processes without work."""
    items.sort(key=lambda item: item.get_closest_marker("process") is None)
    if config.getoption("loadgroup", default=False):
        for item in items:
            _name_group(item)


def _name_group(item: pytest.Item) -> None:
    """Adds the test's group to its id, where pytest-xdist reads it. xdist does so itself, but sets an attribute that
    pytest has renamed since 9.2: all test processes would start the services of each group."""
    marker = item.get_closest_marker("xdist_group")
    if marker and not item.nodeid.endswith(f"@{marker.args[0]}"):
        item._id = coerce_node_id(f"{item.nodeid}@{marker.args[0]}")


def pytest_sessionfinish() -> None:
    databases.finish_dropping()


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Restores the default language after each test. A request leaves its own active, and commands would use it."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Makes SIGINT raise KeyboardInterrupt. A shell starts background commands with SIGINT ignored, and Python keeps
    that: tests of Ctrl-C would fail."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def loaded_views() -> None:
    """Loads all views, as a web server has. Without them, `force_login` would open no session of the panel."""
    get_resolver().url_patterns  # noqa: B018 - loads them


@pytest.fixture(scope="session", autouse=True)
def limiter_of_the_process() -> None:
    """Creates the process's hashing limiter in the DATA_DIR of all tests. Without it, the first test that hashes may
    create it in a folder of its own, which pytest deletes while later tests still use the limiter."""
    limiter.get_limiter()


@pytest.fixture(scope="session", autouse=True)
def found_static_files() -> Iterator[None]:
    """Looks for the static files once. Without it, each test client does so in its first request, for 20 ms."""
    found: dict[str, Any] = {}
    find = WhiteNoiseMiddleware.add_files_from_finders

    def add(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            find(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", add)
        yield


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Creates a user: person("dora", role="support", is_active=False)."""

    def make(name: str, role: str = permissions.USER, **fields: Any) -> User:
        fields = {"full_name": name.title(), "email": f"{name}@example.com", "email_verified": True} | fields
        user = User(role=Role.objects.get(name=role), **fields)
        user.password = hash_of_password(settings.BCRYPT_ROUNDS)
        user.save()
        return user

    return make


@cache
def hash_of_password(_rounds: int) -> str:
    """Returns the hash of PASSWORD, which is made once for this number of rounds."""
    return hashers.make(PASSWORD)


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
    return person("root", role=permissions.ADMIN)


@pytest.fixture
def role(db: None) -> Callable[..., Role]:
    """Creates a role: role("support", "users.view")."""

    def make(name: str, *permissions: str) -> Role:
        return Role.objects.create(name=name, permissions=sorted(permissions))

    return make


@pytest.fixture
def stranger() -> APIClient:
    """A client that is not signed in."""
    return APIClient()


@pytest.fixture
def client_of() -> Callable[[User], APIClient]:
    """Signs a client in as the user, with a new session: client_of(ana).get("/api/v1/users/me/")."""

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        session, _refresh = login.open_session(user, proofs.PASSWORD)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
        return client

    return sign_in


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Asserts that the response is a problem document with this status and code, and returns it.

    For an operation of the API, the OpenAPI document must name the code and each member.
    """
    document = problem(response, status, code)
    sent = getattr(response, "request", None)  # of a test client
    operation = routes.documented(sent["REQUEST_METHOD"], sent["PATH_INFO"]) if isinstance(sent, dict) else None
    if operation and code not in OF_ALL_OPERATIONS:
        assert code in operation.errors, f"{operation} does not document {code}"
        assert document.keys() <= routes.problem_members()
    return document


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Does what refused() does, for an error that the operation does not document."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert document["status"] == status
    return document


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Path:
    """An SQLite file with all tables and the built-in roles. Tests copy it."""
    path = tmp_path_factory.mktemp("empty") / "db.sqlite3"
    with django_db_blocker.unblock(), databases.using(**databases.on_sqlite(path)):
        call_command("migrate", verbosity=0)
    return path


@pytest.fixture
def sqlite(empty_sqlite: Path, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of an SQLite database, which is the default database during the test."""
    path = tmp_path / "db.sqlite3"
    shutil.copy(empty_sqlite, path)
    with django_db_blocker.unblock(), databases.using(**databases.on_sqlite(path)):
        yield f"sqlite:///{path}"


@pytest.fixture(scope="session")
def empty_postgres(django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The name of a PostgreSQL database with all tables and the built-in roles. Tests copy it."""
    try:
        with databases.new_on_postgres() as name:
            with django_db_blocker.unblock(), databases.using(**databases.on_postgres(name)):
                call_command("migrate", verbosity=0)
            yield name
    except psycopg.OperationalError:
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres)")


@pytest.fixture
def postgres(empty_postgres: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The URL of a PostgreSQL database, which is the default database during the test."""
    with (
        databases.new_on_postgres(empty_postgres) as name,
        django_db_blocker.unblock(),
        databases.using(**databases.on_postgres(name)),
    ):
        yield f"{databases.SERVER}/{name}"


@contextmanager
def environment_of_database(kind: str) -> Iterator[dict[str, str]]:
    """Yields the environment variables of a service with a new database: none for SQLite, a URL for PostgreSQL."""
    if kind == "sqlite":
        yield {}
        return
    try:
        with databases.new_on_postgres() as name:
            yield {"DATABASE_URL": f"{databases.SERVER}/{name}"}
    except psycopg.OperationalError:
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Each of the two databases in turn."""
    return str(request.getfixturevalue(request.param))


def missing(what: str) -> None:
    """Skips the test. Fails it with CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")
