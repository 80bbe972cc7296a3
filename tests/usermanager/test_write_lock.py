"""Writers of an SQLite database take turns, in threads and in processes, and each ends its turn whatever happens."""

import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts import database_errors, permissions
from accounts.models import RateBucket, Role, User
from usermanager.sqlite import write_lock

FORK = multiprocessing.get_context("fork")
PATIENCE = 20.0  # seconds, for a busy machine


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "db.sqlite3")


@pytest.fixture
def impatient(sqlite: str) -> str:
    """The database, whose connection waits for other writers a fifth of a second only."""
    connection.settings_dict["OPTIONS"] = {**connection.settings_dict["OPTIONS"], "timeout": 0.2}
    return sqlite


def started(target: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def is_free(path: str) -> bool:
    """Returns whether another process gets the lock at once."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=lambda: theirs.send(write_lock.of(path).acquire(0)))
    process.start()
    answer: bool = ours.recv()
    process.join()
    return answer


def database_is_free() -> bool:
    return is_free(str(connection.settings_dict["NAME"]))


def test_threads_write_in_the_order_in_which_they_came(path: str) -> None:
    lock, order = write_lock.of(path), []
    assert lock.acquire(0)

    def write(number: int) -> None:
        assert lock.acquire(PATIENCE)
        order.append(number)
        lock.release()

    threads = []
    for number in range(8):
        threads.append(started(write, number))
        while len(lock._queue) <= number:
            time.sleep(0.001)
    lock.release()
    for thread in threads:
        thread.join(PATIENCE)
    assert order == list(range(8))
    assert is_free(path)


def hold(path: str, pipe: Connection) -> None:
    assert write_lock.of(path).acquire(PATIENCE)
    pipe.send("held")
    pipe.recv()


def write_greedily(path: str, pipe: Connection) -> None:
    """Takes the lock again and again without a pause, and counts the turns."""
    lock, turns = write_lock.of(path), 0
    while not pipe.poll():
        assert lock.acquire(PATIENCE)
        turns += 1
        if turns == 1:
            pipe.send("held")
        time.sleep(0.005)
        lock.release()
    pipe.send(turns)


def test_a_process_that_writes_without_a_pause_lets_others_in(path: str) -> None:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=write_greedily, args=(path, theirs))
    process.start()
    ours.recv()
    lock = write_lock.of(path)
    for _turn in range(20):
        assert lock.acquire(PATIENCE)
        lock.release()
    ours.send("enough")
    assert ours.recv() < 60  # without the rule that the waiting process is next, hundreds
    process.join()


def test_a_killed_process_frees_the_lock(path: str) -> None:
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(path, theirs))
    process.start()
    ours.recv()
    assert not write_lock.of(path).acquire(0.05)
    process.kill()
    process.join()
    assert write_lock.of(path).acquire(PATIENCE)
    write_lock.of(path).release()


def test_a_forked_process_does_not_inherit_the_lock(path: str) -> None:
    assert write_lock.of(path).acquire(0)
    assert not is_free(path)
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=lambda: theirs.send((theirs.recv(), write_lock.of(path).acquire(1))))
    process.start()
    write_lock.of(path).release()
    ours.send("released")
    assert ours.recv() == ("released", True)
    process.join()


def test_a_thread_that_gives_up_is_not_waited_for(path: str) -> None:
    lock, answers = write_lock.of(path), []
    assert lock.acquire(0)
    impatient = started(lambda: answers.append(lock.acquire(0.05)))
    impatient.join(PATIENCE)
    patient = started(lambda: answers.append(lock.acquire(PATIENCE)))
    lock.release()
    patient.join(PATIENCE)
    assert answers == [False, True]
    lock.release()
    assert is_free(path)


def test_without_a_lock_file_threads_still_take_turns(tmp_path: Path) -> None:
    lock = write_lock.of(str(tmp_path / "missing folder" / "db.sqlite3"))
    assert lock.acquire(0)
    assert not lock.acquire(0.01)
    lock.release()
    assert lock.acquire(0)
    lock.release()


@pytest.mark.parametrize(
    "write",
    [
        lambda: Role.objects.create(name="support"),
        lambda: Role.objects.update(description="All of them"),
        lambda: RateBucket.objects.all().delete(),
    ],
)
def test_a_transaction_and_a_single_statement_wait_for_each_other(sqlite: str, write: Callable[[], object]) -> None:
    writers: list[threading.Thread] = []

    def write_and_close() -> None:
        write()
        connection.close()

    with transaction.atomic():
        assert not database_is_free()
        writers.append(started(write_and_close))
        writers[0].join(0.1)
        assert writers[0].is_alive()
    writers[0].join(PATIENCE)
    assert not writers[0].is_alive()
    assert database_is_free()


def test_a_query_does_not_wait(sqlite: str) -> None:
    names: list[str] = []

    def read_and_close() -> None:
        names.extend(Role.objects.values_list("name", flat=True))
        connection.close()

    with transaction.atomic():
        started(read_and_close).join(PATIENCE)
        assert permissions.USER in names


def test_a_writer_that_has_waited_too_long_gets_the_error_of_a_busy_database(impatient: str) -> None:
    lock = write_lock.of(str(connection.settings_dict["NAME"]))
    assert lock.acquire(0)
    for write in (lambda: Role.objects.update(description=""), lambda: transaction.atomic().__enter__()):
        with pytest.raises(OperationalError) as caught:
            write()
        assert database_errors.is_temporary(caught.value)
    lock.release()
    assert Role.objects.update(description="") > 0
    assert database_is_free()


def test_a_lock_of_another_program_ends_the_turn_with_an_error(impatient: str) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError), transaction.atomic():
            pass
        assert database_is_free()
        other.rollback()
    with transaction.atomic():
        Role.objects.update(description="")
    assert database_is_free()


def test_a_second_connection_of_the_same_thread_gives_up(impatient: str) -> None:
    second: Any = connection.copy()
    second.settings_dict["OPTIONS"]["timeout"] = 0.2
    with transaction.atomic():
        with pytest.raises(OperationalError), closing(second), second.cursor() as cursor:
            cursor.execute("UPDATE accounts_role SET description = 'second'")
        Role.objects.update(description="first")
    assert set(Role.objects.values_list("description", flat=True)) == {"first"}
    assert database_is_free()


def fail() -> None:
    raise ValueError


def violate_at_commit() -> None:
    """Points to a role that doesn't exist. SQLite checks foreign keys when it commits."""
    User(email="ana@example.com", role_id=uuid4()).save(force_insert=True)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda: None, id="commit"),
        pytest.param(fail, id="rollback"),
        pytest.param(violate_at_commit, id="rejected commit"),
        pytest.param(connection.close, id="closed connection"),
        pytest.param(lambda: transaction.set_rollback(True), id="marked for rollback"),
    ],
)
def test_the_turn_ends_with_the_transaction(sqlite: str, steps: Callable[[], None]) -> None:
    with suppress(ValueError, IntegrityError), transaction.atomic(), transaction.atomic():
        assert not database_is_free()
        steps()
    assert database_is_free()
    Role.objects.update(description="")
    assert database_is_free()


def test_work_after_the_commit_may_write(sqlite: str) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: Role.objects.update(description="after the commit"))
    assert set(Role.objects.values_list("description", flat=True)) == {"after the commit"}
    assert database_is_free()


def test_processes_that_write_at_once_lose_nothing(sqlite: str) -> None:
    bucket = RateBucket.objects.create(key="k", hits=0, resets_at=0)
    connection.close()

    def write() -> None:
        threads = [started(add) for _thread in range(4)]
        for thread in threads:
            thread.join(PATIENCE)
        os._exit(0)  # a fork of the tests must not run their exit handlers

    def add() -> None:
        for _write in range(5):
            with transaction.atomic():
                hits = RateBucket.objects.get(pk=bucket.pk).hits
                RateBucket.objects.filter(pk=bucket.pk).update(hits=hits + 1)
        connection.close()

    processes = [FORK.Process(target=write) for _process in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert RateBucket.objects.get(pk=bucket.pk).hits == 60
    assert database_is_free()
