"""Databases that other threads and processes see too, unlike the one in memory that unit tests share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from django.db import connections

SERVER = "postgres://postgres@127.0.0.1:5432"


@contextmanager
def using(**parameters: Any) -> Iterator[None]:
    """Makes it the default database of every thread until the end."""
    before, stored = connections["default"], connections.settings["default"]
    connections.settings["default"] = {**stored, **parameters}
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = stored
        connections["default"] = before


def on_sqlite(path: Path) -> dict[str, Any]:
    return {"NAME": str(path)}


def on_postgres(name: str) -> dict[str, Any]:
    place = {"HOST": "127.0.0.1", "PORT": 5432, "USER": "postgres", "NAME": name}
    return {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {}, "CONN_HEALTH_CHECKS": True, **place}


@contextmanager
def new_on_postgres() -> Iterator[str]:
    """The name of an empty database. Raises psycopg.OperationalError where no server answers."""
    name = f"outbox_{os.getpid()}_{uuid4().hex[:8]}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield name
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
