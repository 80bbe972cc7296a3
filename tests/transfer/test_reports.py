"""The report of an import has each rejected line once, even if the import was stopped and resumed."""

import csv
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import IntegrityError

from accounts.models import ImportRun
from accounts.transfer import importing, user_table
from accounts.transfer.bulk_insert import Tally
from accounts.transfer.importing import Import
from tests.transfer.conftest import Importing
from tests.usermanager.processes import PROJECT, clean_environment, create_tables, eventually, manage

LINES = 30_000
THREE = "email\na\nb\nc\n"


def reported(report: Path) -> list[int]:
    with report.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["line", "reason", "kind"]
    return [int(row[0]) for row in rows]


@pytest.mark.process
def test_an_import_that_is_killed_neither_loses_nor_duplicates_lines_of_the_report(tmp_path: Path) -> None:
    folder, users, report = str(tmp_path / "var"), tmp_path / "users.csv", tmp_path / "rejected.csv"
    users.write_text("email\n" + "".join(f"user{number}\nuser{number}@example.com\n" for number in range(LINES // 2)))
    create_tables(tmp_path / "var")
    arguments = ["import_users", str(users), "--report", str(report)]
    command = [sys.executable, str(PROJECT / "manage.py"), *arguments]
    with subprocess.Popen(command, env=clean_environment(DATA_DIR=folder), stderr=subprocess.DEVNULL) as process:
        eventually(lambda: _lines_done(tmp_path / "var") > 0, seconds=60)
        os.kill(process.pid, signal.SIGKILL)
    done = _lines_done(tmp_path / "var")
    assert 0 < done < LINES
    assert len(reported(report)) >= done // 2
    with report.open("a") as file:
        file.write("7,of a batch that was not committed,rejected\r\n7,of a ba")
    ended = manage(*arguments, DATA_DIR=folder)
    assert f"{LINES // 2} created, 0 updated, 0 skipped, {LINES // 2} rejected" in ended.stdout
    assert reported(report) == list(range(2, LINES + 2, 2))


def _lines_done(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "usermanager.sqlite3")) as database:
        return int(database.execute("SELECT coalesce(max(lines), 0) FROM accounts_importrun").fetchone()[0])


def test_a_batch_that_is_repeated_is_reported_once(
    import_users: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on PostgreSQL, where a user may register one of the addresses meanwhile."""
    attempts: list[bool] = []
    insert = user_table.insert

    def insert_at_second_attempt(users: list[user_table.Values]) -> None:
        attempts.append(True)
        if len(attempts) == 1:
            raise IntegrityError
        insert(users)

    monkeypatch.setattr(user_table, "insert", insert_at_second_attempt)
    report = tmp_path / "rejected.csv"
    said = import_users("email\nnobody\nana@example.com\n", report=str(report))
    assert "1 created, 0 updated, 0 skipped, 1 rejected" in said
    assert (len(attempts), reported(report)) == (2, [2])


@pytest.fixture
def stopped(import_users: Importing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the report of an import of three rejected lines that stopped before the second was committed."""
    report, conclude = tmp_path / "rejected.csv", Import._end_batch

    def stop_at_the_second(work: Import, lines: int, tally: Tally, report_bytes: int) -> None:
        if lines == 2:
            raise CommandError("stopped")
        conclude(work, lines, tally, report_bytes)

    monkeypatch.setattr(importing, "BATCH_SIZE", 1)
    with monkeypatch.context() as stopping:
        stopping.setattr(Import, "_end_batch", stop_at_the_second)
        assert "stopped" in import_users(THREE, report=str(report))
    assert ImportRun.objects.get().lines == 1
    return report


def test_the_report_is_written_before_the_batch_is_committed(import_users: Importing, stopped: Path) -> None:
    assert reported(stopped) == [2, 3]
    assert "3 rejected" in import_users(THREE, report=str(stopped))
    assert reported(stopped) == [2, 3, 4]


def test_a_report_that_was_deleted_meanwhile_is_created_again(import_users: Importing, stopped: Path) -> None:
    stopped.unlink()
    assert "was stopped after 1 lines" in import_users(THREE, report=str(stopped))
    assert reported(stopped) == [3, 4]


def test_an_older_report_is_overwritten(import_users: Importing, tmp_path: Path) -> None:
    report = tmp_path / "rejected.csv"
    report.write_text("line,reason,kind\r\n" + "1,of yesterday,rejected\r\n" * 9)
    import_users("email\nana@example.com\n", report=str(report))
    assert reported(report) == []


@pytest.mark.process
def test_a_report_may_be_written_to_a_pipe(tmp_path: Path) -> None:
    folder, users = str(tmp_path / "var"), tmp_path / "users.csv"
    users.write_text("email\nnobody\n")
    create_tables(tmp_path / "var")
    ended = manage("import_users", str(users), "--report", "/dev/stdout", DATA_DIR=folder)
    assert "line,reason,kind\n2,email: write" in ended.stdout.replace("\r\n", "\n")
