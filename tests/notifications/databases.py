"""Databases that other threads and processes see too, unlike the one in memory that unit tests share."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from django.db import connections

SERVER = "postgres://postgres@127.0.0.1:5432"

DROPPED_AT_ONCE = 20  # of 9 MB each

_ended: list[str] = []
_dropping = ThreadPoolExecutor(1)
_batches: list[Future[None]] = []


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
def new_on_postgres(template: str = "template1") -> Iterator[str]:
    """The name of a new database, a copy of the template. Raises psycopg.OperationalError where no server answers.

    Its commits don't wait for the disk. DROP DATABASE does, for a checkpoint: a thread drops several in a row, so that
    only the first has much to write.
    """
    name = f"outbox_{os.getpid()}_{uuid4().hex[:8]}"
    _on_server(
        f'CREATE DATABASE "{name}" TEMPLATE "{template}"', f'ALTER DATABASE "{name}" SET synchronous_commit = off'
    )
    try:
        yield name
    finally:
        _ended.append(f'DROP DATABASE "{name}" WITH (FORCE)')
        if len(_ended) == DROPPED_AT_ONCE:
            _drop()


def finish_dropping() -> None:
    """Waits until the databases of ended tests are gone. Raises the error of one that is not."""
    _drop()
    while _batches:
        _batches.pop().result()


def _drop() -> None:
    _batches.append(_dropping.submit(_on_server, *_ended))
    _ended.clear()


def _on_server(*statements: str) -> None:
    if not statements:
        return
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3) as server:
        for statement in statements:
            server.execute(statement)
