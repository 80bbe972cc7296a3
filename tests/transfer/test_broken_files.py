"""manage.py import_users with files that are damaged or of another kind: it reports each user that it can't read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from accounts.models import User
from accounts.transfer.records import MAX_RECORD_LENGTH
from tests.transfer.conftest import Importing
from tests.usermanager.processes import PROJECT, clean_environment, create_tables

ADMIN = '{"email": "eve@example.com", "role": "admin"}'
LONG = "x" * MAX_RECORD_LENGTH
DEEP = "[" * 50_000


def addresses() -> list[str]:
    return sorted(User.objects.values_list("email", flat=True))


def rows(first: int, last: int, note: str = "ok") -> str:
    return "".join(f"user{number}@example.com,{note}\n" for number in range(first, last))


def test_a_cell_that_never_ends_is_reported_with_its_first_line(import_users: Importing) -> None:
    said = import_users("email,note\n" + rows(0, 3) + 'user3@example.com,"ok\n' + rows(4, 50), ignore_columns="note")
    assert "Line 5: lines 5–51: a quotation mark opens a cell that never ends" in said
    assert "3 created, 0 updated, 0 skipped, 1 rejected" in said


def test_rows_between_two_stray_quotation_marks_are_not_read_as_a_cell(import_users: Importing) -> None:
    stray = 'user3@example.com,"ok\n' + rows(4, 9) + 'user9@example.com,ok"\n'
    said = import_users("email,note\n" + rows(0, 3) + stray + rows(10, 12), ignore_columns="note")
    assert "Line 5: lines 5–11: a cell contains what looks like other rows" in said
    assert "5 created, 0 updated, 0 skipped, 1 rejected" in said


def test_a_cell_that_continues_after_its_closing_quotation_mark_is_rejected(import_users: Importing) -> None:
    said = import_users('email,note\nana@example.com,"a" b\nbruno@example.com,5" disk\n', ignore_columns="note")
    assert "Line 2: it is not valid CSV" in said
    assert addresses() == ["bruno@example.com"]


def test_a_cell_may_have_several_lines(import_users: Importing) -> None:
    said = import_users('email,note\nana@example.com,"Hello, Ana\nwrite, or call\n"\nnobody,\n', ignore_columns="*")
    assert "Line 5: email: write an email address" in said
    assert addresses() == ["ana@example.com"]


@pytest.mark.parametrize("begins", ["", "{", '"', '{"note": "'])
def test_the_middle_of_a_long_line_is_not_read_as_a_user(import_users: Importing, begins: str) -> None:
    padding = " " * (MAX_RECORD_LENGTH - len(begins))
    text = f'{{"email": "ana@example.com"}}\n{begins}{padding}{ADMIN}\nnonsense\n{{"email": "dora@example.com"}}\n'
    said = import_users(text)
    assert "Line 2: it is too long for a user" in said
    assert "Line 3: it is not JSON" in said
    assert addresses() == ["ana@example.com", "dora@example.com"]


@pytest.mark.parametrize("filling", [LONG, "line\n" * (MAX_RECORD_LENGTH // 5), f"{LONG}\n{LONG}"])
def test_the_middle_of_a_long_cell_is_not_read_as_a_user(import_users: Importing, filling: str) -> None:
    cell = f"{filling}\neve@example.com,admin,\n"
    text = f'email,role,note\nana@example.com,,\nbruno@example.com,,"{cell}"\nnobody,,\ndora@example.com,,\n'
    said = import_users(text, ignore_columns="note")
    assert "Line 3: " in said
    assert f"Line {text.count(chr(10)) - 1}: email: write an email address" in said
    assert addresses() == ["ana@example.com", "dora@example.com"]


@pytest.mark.parametrize("text", ["\n\nemail\nnobody\n", '\n\n{"email": "ana@example.com"}\n{"email": "nobody"}\n'])
def test_blank_lines_count(import_users: Importing, text: str) -> None:
    assert "Line 4: email: write an email address" in import_users(text)


# The kernel counts the memory of the parent at the start for the child, so the child measures its own.
IMPORT_AND_TELL_MEMORY = """
import os, re, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "usermanager.settings"
from django.core.management import execute_from_command_line
try:
    execute_from_command_line(["manage.py", "import_users", sys.argv[1]])
except SystemExit:
    pass
print(re.search("VmHWM:[^0-9]*([0-9]+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.process
def test_a_file_of_one_endless_line_needs_little_memory(tmp_path: Path) -> None:
    create_tables(tmp_path / "var")
    file = tmp_path / "users.csv"
    with file.open("w") as users:
        users.write("email\nana@example.com\n")
        users.writelines("x" * 1_000_000 for _each in range(200))
    command = [sys.executable, "-c", IMPORT_AND_TELL_MEMORY, str(file)]
    environment = clean_environment(DATA_DIR=str(tmp_path / "var"), PYTHONPATH=str(PROJECT))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Line 3: it is too long for a user" in done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1]) < 250 * 1024


@pytest.mark.process
def test_stdin_that_does_not_fit_into_the_temporary_folder_is_an_error(tmp_path: Path) -> None:
    command = f"ulimit -f 8; exec {sys.executable} manage.py import_users -"
    # The limit would cut the bytecode files of changed modules, and Python would not notice.
    environment = clean_environment(DATA_DIR=str(tmp_path / "var"), TMPDIR=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    given = "email\n" + rows(0, 9999)
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=PROJECT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"The input cannot be copied to {tmp_path}: File too large. Set TMPDIR to a folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("email;full_name\nana@example.com;Ana\n", "has semicolons between its names: save the file as CSV with"),
        ('"email";"full_name"\nana@example.com;Ana\n', "has semicolons between its names: save the file as CSV with"),
        ("full_name\temail\nAna\tana@example.com\n", "has tabs between its names: save the file as CSV with"),
        ("\x1f\udc8b\x08\0\0\0", "This file is compressed with gzip: unpack it with gunzip"),
        ("PK\x03\x04\x14\0\0\0", "This is a ZIP file or a spreadsheet"),
        ("ana@example.com,Ana\n", 'The header has no "email" column (expected comma-separated names).'),
        ('email,"full_name\nana@example.com,Ana\n', "a quotation mark opens a cell that never ends"),
        ('[{"email": "ana@example.com", "email": "bruno@example.com"}]', "names a key twice"),
        ("[" * 50_000, "neither CSV, nor JSON lines"),
    ],
)
def test_the_error_for_an_unreadable_file_gives_the_reason(import_users: Importing, text: str, says: str) -> None:
    assert says in import_users(text)
    assert addresses() == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["email\nana@example.com\n", '{"email": "ana@example.com"}\n'])
def test_the_error_for_utf_16_names_the_encoding(import_users: Importing, text: str, encoding: str) -> None:
    said = import_users(text.encode(encoding).decode("utf-8", "surrogateescape"))
    assert "if it is UTF-16, save it as UTF-8" in said


def test_a_line_with_a_duplicate_key_is_rejected(import_users: Importing) -> None:
    said = import_users('{"email": "ana@example.com", "email": "bruno@example.com"}\n{"email": "dora@example.com"}\n')
    assert "Line 1: it names a key twice" in said
    assert addresses() == ["dora@example.com"]


@pytest.mark.parametrize("indent", [None, 2])
def test_all_realms_of_keycloak_are_imported(import_users: Importing, indent: int | None) -> None:
    realms = [{"realm": name, "users": [{"email": f"{name}@example.com"}]} for name in ("master", "shop")]
    said = import_users(json.dumps(realms, indent=indent), format="keycloak")
    assert "2 created, 0 updated, 0 skipped, 0 rejected" in said
    assert addresses() == ["master@example.com", "shop@example.com"]


def test_a_first_line_of_many_brackets_is_rejected_like_any_other(import_users: Importing) -> None:
    said = import_users(f'{{"email": "odd@example.com", "metadata": {DEEP}\n{{"email": "ana@example.com"}}\n')
    assert "Line 1: it is not JSON" in said
    assert addresses() == ["ana@example.com"]
