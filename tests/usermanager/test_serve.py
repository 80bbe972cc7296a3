"""`manage.py serve` with real processes, as an operator sees it."""

import http.client
import os
import re
import signal
import socket
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.usermanager.processes import (
    Running,
    clean_environment,
    create_tables,
    descendants,
    eventually,
    free_port,
    is_alive,
    manage,
    running,
)

pytestmark = pytest.mark.process

READY = "Data "  # the last line of the summary
SERVE = ["manage.py", "serve"]


@pytest.fixture
def port() -> int:
    return free_port()


def serving(folder: Path, port: int, command: list[str] = SERVE) -> AbstractContextManager[Running]:
    variables = {"DATA_DIR": str(folder), "PORT": str(port), "WEB_WORKERS": "1", "BCRYPT_ROUNDS": "4"}
    return running(command, clean_environment(**variables), ready=READY)


@pytest.fixture
def product(tmp_path: Path, port: int) -> Iterator[Running]:
    create_tables(tmp_path / "var")
    with serving(tmp_path / "var", port) as process:
        yield process


@pytest.fixture
def new_product(tmp_path: Path, port: int) -> Iterator[Running]:
    """The product as an operator first starts it: a new interpreter, and no database."""
    with serving(tmp_path / "var", port, [sys.executable, *SERVE]) as process:
        yield process


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == http.HTTPStatus.OK)
    except OSError:
        return False


def test_it_answers_once_it_has_printed_the_summary(new_product: Running, port: int) -> None:
    assert answers(port)
    assert new_product.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_and_frees_the_port(product: Running, port: int, number: signal.Signals) -> None:
    below = descendants(product.pid)
    assert len(below) >= 3
    assert product.stop(number) == 0
    assert not any(map(is_alive, below))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_kill_9_leaves_no_process(product: Running, port: int) -> None:
    below = descendants(product.pid)
    os.kill(product.pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, below)))


def test_a_web_server_that_dies_is_restarted_on_the_same_socket(product: Running, port: int) -> None:
    [web] = [pid for pid in descendants(product.pid) if _name(pid) == "web server" and _parent(pid) == product.pid]
    os.kill(web, signal.SIGKILL)
    socket.create_connection(("127.0.0.1", port)).close()  # the connection waits and is not refused
    eventually(lambda: answers(port))


def test_the_process_that_forks_has_no_threads_and_no_connections(new_product: Running) -> None:
    """A fork has only the thread that forked, and two processes must not use one connection."""
    assert len(list(Path(f"/proc/{new_product.pid}/task").iterdir())) == 1
    opened = [os.readlink(file) for file in Path(f"/proc/{new_product.pid}/fd").iterdir()]
    assert not [file for file in opened if "sqlite3" in file]


def test_the_first_start_shows_the_password_and_the_second_sets_nothing_up(tmp_path: Path, port: int) -> None:
    first = _printed(tmp_path / "var", port)
    assert re.search(r"admin@example\.com with the password \S{12,} \(shown this once\)", first)
    assert f"http://localhost:{port}/api/docs/" in first
    assert str(tmp_path / "var" / "mail") in first
    before = _set_up(tmp_path / "var")
    second = _printed(tmp_path / "var", port)
    assert "password" not in second
    assert _set_up(tmp_path / "var") == before


def test_a_taken_port_is_reported_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = manage("serve", DATA_DIR=str(tmp_path), PORT=str(port))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert f"Port {port} is taken" in line
    assert "PORT=8000" in line
    assert not (tmp_path / "usermanager.sqlite3").exists()


def test_an_address_of_another_machine_is_reported_in_one_line(tmp_path: Path, port: int) -> None:
    ended = manage("serve", DATA_DIR=str(tmp_path), PORT=str(port), BIND="192.0.2.1")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "BIND=127.0.0.1" in ended.stderr


@pytest.mark.parametrize("command", ["serve", "prune"])
@pytest.mark.parametrize("url", ["postgres://ana:hunter2@127.0.0.1:{port}/users", "sqlite:////nowhere/users.sqlite3"])
def test_an_unreachable_database_is_reported_in_one_line(tmp_path: Path, port: int, command: str, url: str) -> None:
    away = url.format(port=free_port())
    ended = manage(command, DATA_DIR=str(tmp_path), PORT=str(port), DATABASE_URL=away)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "Set DATABASE_URL to use another one, such as sqlite:////path/file.sqlite3 or postgres://" in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize(("password", "why"), [("123", "at least 8 characters"), ("password1234", "too easy to guess")])
def test_a_weak_admin_password_is_reported_in_one_line(tmp_path: Path, password: str, why: str) -> None:
    ended = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4", ADMIN_PASSWORD=password)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "ADMIN_PASSWORD cannot be used: write " in ended.stderr
    assert why in ended.stderr
    assert password not in ended.stderr
    assert "with the password" in manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stdout  # no user existed


def test_prepare_sets_up_the_database_without_serving(tmp_path: Path) -> None:
    assert "with the password" in manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stdout
    again = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4")
    assert (again.stdout, again.stderr) == ("", "")
    with closing(sqlite3.connect(tmp_path / "usermanager.sqlite3")) as database, database:
        database.execute("UPDATE accounts_user SET email_verified = FALSE")
    printed = manage("prepare", DATA_DIR=str(tmp_path), BCRYPT_ROUNDS="4").stderr
    assert "No active administrator has a confirmed address: python manage.py users verify EMAIL" in printed


@pytest.mark.parametrize("command", ["serve", "prepare", "prune", "backup"])
def test_help_ends_in_an_example(command: str) -> None:
    parser = load_command_class("usermanager", command).create_parser("manage.py", command)
    assert "\nexample:\n  " in parser.format_help()


def test_an_option_that_does_not_exist_ends_with_status_2() -> None:
    assert manage("serve", "--nonsense").returncode == 2


def _printed(folder: Path, port: int) -> str:
    """Starts the product, stops it when it is ready, and returns its output."""
    with serving(folder, port, [sys.executable, *SERVE]) as product:
        assert product.stop() == 0
        return product.printed


def _set_up(folder: Path) -> list[object]:
    """Returns what a start sets up: the version of the schema, the migrations, the users and their hashes, the keys."""
    with closing(sqlite3.connect(folder / "usermanager.sqlite3")) as database:
        queries = ("PRAGMA schema_version", "SELECT * FROM django_migrations", "SELECT * FROM accounts_user")
        return [*(database.execute(query).fetchall() for query in queries), sorted(folder.glob("keys/*"))]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
