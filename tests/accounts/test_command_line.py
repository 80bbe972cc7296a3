"""Commands have exit statuses and one-line errors for scripts, and prompt only at a terminal."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.usermanager.processes import PROJECT, clean_environment, create_tables, manage

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the data directory of an installation with one administrator, root@example.com."""
    made = tmp_path_factory.mktemp("data")
    create_tables(made)
    done = run(made, "prepare", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD="correct horse battery staple")
    assert done.returncode == 0, done.stderr
    return made


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return manage(*words, cwd=PROJECT, **{"DATA_DIR": str(folder), "BCRYPT_ROUNDS": "4", **environment})


def test_success_exits_with_0_and_prints_no_colors(folder: Path) -> None:
    done = run(folder, "users", "list", "--role", "admin", TERM="xterm-256color")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("root@example.com\t")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["users", "suspend", "root@example.com"], "This is the last active administrator."),
        (["users", "show", "nobody@example.com"], "There is no user nobody@example.com."),
        (["users", "create", "root@example.com"], "There is an account with this address already."),
    ],
)
def test_an_error_exits_with_1_and_prints_one_line(folder: Path, words: list[str], line: str) -> None:
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"CommandError: {line}\n"


@pytest.mark.parametrize("words", [["users"], ["users", "create", "nobody"], ["sessions", "revoke"], ["keys", "turn"]])
def test_wrong_usage_exits_with_2(folder: Path, words: list[str]) -> None:
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: manage.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_without_tables_exits_with_1_and_prints_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "users", "show", "ana@example.com")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: The database cannot be used: no such table")
    assert done.stderr.count("\n") == 1


def test_a_pipe_that_its_reader_closes_is_no_error(folder: Path) -> None:
    environment = clean_environment(DATA_DIR=str(folder))
    command = [sys.executable, "manage.py", "users", "list", "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_password_is_prompted_for_twice_and_never_shown(folder: Path) -> None:
    ours, theirs = pty.openpty()
    environment = clean_environment(DATA_DIR=str(folder), BCRYPT_ROUNDS="4", TERM="xterm")
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, sys.executable, "manage.py", "createadmin", "dora@example.com"],
        cwd=PROJECT,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = answered(ours, b"Password: ", b"an unusual pair of mittens\n")
    seen += answered(ours, b"Password again: ", b"an unusual pair of mittens\n")
    seen += answered(ours, b"is now an administrator", b"")
    assert process.wait(20) == 0
    os.close(ours)
    assert b"mittens" not in seen


def answered(terminal: int, prompt: bytes, answer: bytes) -> bytes:
    """Waits for the prompt and types the answer. Returns the output until then."""
    seen = b""
    while prompt not in seen:
        assert select.select([terminal], [], [], 20)[0], seen
        seen += os.read(terminal, 1024)
    os.write(terminal, answer)
    return seen


# Makes the terminal on stdin the one that getpass opens, then becomes the command.
AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
