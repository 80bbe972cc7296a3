"""The web server's connections and pool, tested without a web server: limits on time and on waiting threads."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from tests.usermanager.processes import free_port
from usermanager.postgres_pool import BoundedConnection, fail_waiting_threads

WAITING = 3


@pytest.mark.postgres
def test_a_connection_to_a_silent_server_is_closed(postgres: str) -> None:
    with BoundedConnection.connect(postgres) as connection:
        connection.limit_seconds = 0.2
        with pytest.raises(psycopg.OperationalError, match="no answer within"):
            connection.cursor().execute("SELECT pg_sleep(5)")
        assert connection.closed


@pytest.mark.postgres
def test_an_error_of_the_server_keeps_the_connection_open(postgres: str) -> None:
    with BoundedConnection.connect(postgres, autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET statement_timeout = 50")
        with pytest.raises(psycopg.errors.QueryCanceled):
            cursor.execute("SELECT pg_sleep(5)")
        assert not connection.closed
        cursor.execute("SELECT 1")


@pytest.mark.postgres
def test_a_lost_connection_keeps_its_own_error(postgres: str) -> None:
    with BoundedConnection.connect(postgres, autocommit=True) as connection:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(psycopg.OperationalError, match="closed the connection"):
            connection.cursor().execute("SELECT 1")
        assert connection.closed


def test_threads_that_time_out_leave_the_queue_of_the_pool() -> None:
    """They fail within the pool's reconnect_timeout, and later threads may wait again."""
    pool = ConnectionPool(
        f"host=127.0.0.1 port={free_port()} user=postgres",
        min_size=0,
        max_size=1,
        max_waiting=WAITING,
        timeout=20,
        reconnect_timeout=0.2,
        reconnect_failed=fail_waiting_threads,
        open=True,
    )
    with pool, ThreadPoolExecutor(WAITING) as threads:
        for error in [one.exception(10) for one in [threads.submit(pool.getconn) for _number in range(WAITING)]]:
            assert isinstance(error, psycopg.OperationalError)
            assert "no connection could be made" in str(error)
        assert pool.get_stats().get("requests_waiting", 0) == 0
