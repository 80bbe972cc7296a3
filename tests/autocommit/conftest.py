"""One database of each kind for all tests of this package, outside any transaction, and a scene for each test."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from accounts import batches
from tests import pgbouncer
from tests.autocommit import racers as tracks
from tests.autocommit.racers import Track
from tests.autocommit.scene import Scene
from tests.conftest import missing
from tests.notifications import databases
from usermanager import connection_urls, database_settings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of one database into one process, so that they share it."""
    for item in items:
        if item.nodeid.startswith("tests/autocommit/") and isinstance(item, pytest.Function):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.add_marker(pytest.mark.xdist_group(f"autocommit-{parameters.get('database')}"))


@pytest.fixture(
    scope="package",
    params=["sqlite", *(pytest.param(name, marks=pytest.mark.postgres) for name in ("postgres", "pgbouncer"))],
)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of a database with all tables, which is the default database during the tests. Rate limits are on."""
    with ExitStack() as opened:
        opened.enter_context(django_db_blocker.unblock())
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("autocommit") / "db.sqlite3"
            shutil.copy(request.getfixturevalue("empty_sqlite"), path)
            url = f"sqlite:///{path}"
        else:
            empty = request.getfixturevalue("empty_postgres")
            url = opened.enter_context(_on_postgres(empty, is_pooled=request.param == "pgbouncer"))
        opened.enter_context(_used(url))
        yield url


@contextmanager
def _on_postgres(empty: str, *, is_pooled: bool) -> Iterator[str]:
    """Yields the URL of a copy of a database. With pgbouncer, asserts that no client left session state."""
    try:
        with databases.new_on_postgres(empty) as name, pgbouncer.running() if is_pooled else nullcontext() as pooler:
            yield f"{pooler}/{name}?pgbouncer=true" if pooler else f"{databases.SERVER}/{name}"
            if pooler:
                assert not any(pgbouncer.left_behind(f"{pooler}/{name}").values())
    except (psycopg.OperationalError, pgbouncer.Missing):
        missing("PostgreSQL at 127.0.0.1:5432 (user postgres) and pgbouncer")


@contextmanager
def _used(url: str) -> Iterator[None]:
    described = database_settings.complete(connection_urls.database(url, Path("/")))
    changes = {"DATABASE_FILE": described["NAME"], "IS_SQLITE": database_settings.is_sqlite(described)}
    with databases.using(**described), override_settings(RATE_LIMITS=True, **changes):
        yield


@pytest.fixture
def scene(database: str, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """New users in the database. Batches are so small that each list takes several."""
    monkeypatch.setattr(batches, "BATCH_SIZE", 50)
    cache.clear()
    with django_db_blocker.unblock():
        assert not connection.in_atomic_block
        yield Scene(database)
        assert not connection.in_atomic_block


@pytest.fixture(scope="package")
def racers(database: str) -> Iterator[Track]:
    """Processes on SQLite, threads on PostgreSQL."""
    with tracks.processes() if database.startswith("sqlite") else tracks.threads() as opened:
        yield opened
