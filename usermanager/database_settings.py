"""What Django is told about the database that DATABASE_URL names."""

from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

SQLITE_OPTIONS = {
    # Every write takes its lock at once: deferred, two that read first and write then end in "database is locked".
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # What was answered survives a power cut (FULL); the journal shrinks again after a large transaction. What was
    # deleted is overwritten, so that no deleted user can be read in the file.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;"
    " PRAGMA mmap_size=134217728; PRAGMA secure_delete=ON;",
}
# A server that refuses is told at once; one that is silent, or a network that loses everything, within seconds.
# The query of DATABASE_URL overrides each.
POSTGRES_OPTIONS = {
    "connect_timeout": 2,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 3,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
POOL_SECONDS = 2.0
RECONNECT_SECONDS = 1.0  # then the next request tries again: the pool's own pauses would double up to minutes
HURRIED_SECONDS = 0.1  # once no connection could be made: a web server's few threads must not all wait for the next
SILENCE_SECONDS = 10.0
CHECK_SECONDS = 2.0


_hurried: set[ConnectionPool[Any]] = set()


class BoundedConnection(psycopg.Connection[Any]):
    """One of the web server, which waits for an answer for so long only: a server may accept and never answer."""

    limit_seconds = SILENCE_SECONDS

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Any:
        connection = super().connect(*arguments, **options)
        for pool in list(_hurried):  # the database is back
            pool.timeout = POOL_SECONDS
            _hurried.discard(pool)
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError, after closing the connection, of which nobody knows what it did."""
        try:
            return super().wait(gen, interval, timeout or self.limit_seconds)
        except psycopg.errors._WaitTimeout as silence:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.limit_seconds:.0f} s") from silence

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        """Here nothing but the pool's check comes through, an empty query: Django makes cursors."""
        self.limit_seconds = CHECK_SECONDS
        try:
            return super().execute(query, *arguments, **options)
        finally:
            self.limit_seconds = SILENCE_SECONDS


def refuse_waiting(pool: ConnectionPool[Any]) -> None:
    """Answers the threads that wait for a connection when none could be made; later ones wait for a moment only.

    The pool itself leaves those that waited in vain in its queue. Once it is full, it refuses all others and never
    connects again, as only a thread that begins to wait makes it do so.
    """
    pool.timeout = HURRIED_SECONDS
    _hurried.add(pool)
    with pool._lock:
        waiting = list(pool._waiting)
        pool._waiting.clear()
    for one in waiting:
        one.fail(psycopg.OperationalError("no connection could be made"))


def is_sqlite(database: dict[str, Any]) -> bool:
    return str(database["ENGINE"]).endswith("sqlite3")


def complete(database: dict[str, Any]) -> dict[str, Any]:
    """An entry of DATABASES: what the URL says, and what this product needs of each of the two databases."""
    given = database["OPTIONS"]
    return database | {
        "CONN_MAX_AGE": None,  # opening a connection costs a third of a request
        "CONN_HEALTH_CHECKS": not is_sqlite(database),
        "OPTIONS": given | SQLITE_OPTIONS if is_sqlite(database) else POSTGRES_OPTIONS | given,
    }


def with_pool(database: dict[str, Any], *, size: int, waiting: int) -> dict[str, Any]:
    """The entry for the web server: its threads borrow one of `size` connections for as long as a request.

    A thread waits for one for two seconds, and no more than `waiting` threads do: the others are refused at once, so
    that a database that is away never takes all threads.
    """
    pool = {
        "min_size": 1,
        "max_size": size,
        "max_waiting": waiting,
        "timeout": POOL_SECONDS,
        "reconnect_timeout": RECONNECT_SECONDS,
        "reconnect_failed": refuse_waiting,
        "connection_class": BoundedConnection,
    }
    return database | {"CONN_MAX_AGE": 0, "OPTIONS": {**database["OPTIONS"], "pool": pool}}
