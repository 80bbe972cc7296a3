"""One database of each kind for all of these tests, outside any transaction, and a scene for each of them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from tests.autocommit.scene import Scene
from tests.conftest import missing
from tests.notifications import databases


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one database share a process, and with it the database."""
    for item in items:
        if Path(__file__).parent in item.path.parents and isinstance(item, pytest.Function):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            item.add_marker(pytest.mark.xdist_group(f"autocommit-{parameters.get('database')}"))


@pytest.fixture(scope="package", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The URL of a database with all tables, which is the default one meanwhile. Limits are on."""
    with django_db_blocker.unblock():
        if request.param == "sqlite":
            path = tmp_path_factory.mktemp("autocommit") / "db.sqlite3"
            yield from _migrated(f"sqlite:///{path}", **databases.on_sqlite(path))
            return
        try:
            with databases.new_on_postgres() as name:
                yield from _migrated(f"{databases.SERVER}/{name}", **databases.on_postgres(name))
        except psycopg.OperationalError:
            missing("PostgreSQL at 127.0.0.1:5432 (user postgres)")


def _migrated(url: str, **parameters: str) -> Iterator[str]:
    with databases.using(**parameters):
        described = {"DATABASE": connection.settings_dict, "IS_SQLITE": connection.vendor == "sqlite"}
        with override_settings(RATE_LIMITS=True, **described):
            call_command("migrate", verbosity=0)
            yield url


@pytest.fixture
def scene(database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Scene]:
    """New people in that database."""
    cache.clear()
    with django_db_blocker.unblock():
        assert not connection.in_atomic_block
        yield Scene(database)
        assert not connection.in_atomic_block
