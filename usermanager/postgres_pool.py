"""The pool of PostgreSQL connections that the threads of the web server share."""

from typing import Any

import psycopg
from psycopg_pool import ConnectionPool

POOL_SECONDS = 2.0
RECONNECT_SECONDS = 1.0  # then the next request makes an attempt; the pool's own pauses would double up to minutes
OUTAGE_SECONDS = 0.1  # replaces POOL_SECONDS after a failed connection: the few threads must not all wait for the next
ANSWER_SECONDS = 10.0
CHECK_SECONDS = 2.0

_in_outage: set[ConnectionPool[Any]] = set()


class BoundedConnection(psycopg.Connection[Any]):
    """A connection of the web server. Limits the wait for an answer, as a server may accept a query and stay silent."""

    limit_seconds = ANSWER_SECONDS

    @classmethod
    def connect(cls, *arguments: Any, **options: Any) -> Any:
        connection = super().connect(*arguments, **options)
        for pool in list(_in_outage):  # the database is back
            pool.timeout = POOL_SECONDS
            _in_outage.discard(pool)
        return connection

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError after the limit. Closes the connection: the state of its transaction is unknown."""
        try:
            return super().wait(gen, interval, timeout or self.limit_seconds)
        except psycopg.OperationalError as error:
            if error.sqlstate is not None or self.closed:  # an error of the server, or a lost connection
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.limit_seconds:.0f} s") from error

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        """Runs the pool's check, an empty query, with a limit of its own. Django uses cursors and never calls this."""
        self.limit_seconds = CHECK_SECONDS
        try:
            return super().execute(query, *arguments, **options)
        finally:
            self.limit_seconds = ANSWER_SECONDS


def fail_waiting_threads(pool: ConnectionPool[Any]) -> None:
    """Fails the threads that wait for a connection after the pool could not connect. Shortens the wait of later ones.

    Without this, the pool keeps threads in its queue after their timeout. A full queue rejects every further thread,
    and the pool then never connects again: it connects only when a thread joins the queue.
    """
    pool.timeout = OUTAGE_SECONDS
    _in_outage.add(pool)
    with pool._lock:
        waiting = list(pool._waiting)
        pool._waiting.clear()
    for one in waiting:
        one.fail(psycopg.OperationalError("no connection could be made"))


def with_pool(database: dict[str, Any], *, size: int, waiting: int) -> dict[str, Any]:
    """Returns the entry for the web server, whose threads share a pool of `size` connections, one for each request.

    A thread waits two seconds for a connection. Once `waiting` threads wait, the pool rejects others at once, so that
    an unavailable database never blocks all threads.
    """
    pool = {
        "min_size": 1,
        "max_size": size,
        "max_waiting": waiting,
        "timeout": POOL_SECONDS,
        "reconnect_timeout": RECONNECT_SECONDS,
        "reconnect_failed": fail_waiting_threads,
        "connection_class": BoundedConnection,
    }
    return database | {"CONN_MAX_AGE": 0, "OPTIONS": {**database["OPTIONS"], "pool": pool}}
