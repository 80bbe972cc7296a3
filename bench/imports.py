"""Measures `manage.py import_users` with a million users, and compares it with a bare executemany of the same rows.

    .venv/bin/python bench/imports.py [--users 1000000]

Both write into SQLite files with all tables and indexes of the product, in a temporary folder, one after the other. The
bare one gets rows that are already read, validated and composed, and writes them in one transaction. Other processes
lengthen the times, but hardly the CPU times.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
HASH = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"
HEAD = "email,full_name,locale,email_verified,metadata,created_at,password_hash\n"
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    number = parser.parse_args().users
    with tempfile.TemporaryDirectory(prefix="usermanager-bench-") as folder:
        file, imported, copied = Path(folder) / "users.csv", Path(folder) / "imported", Path(folder) / "copied"
        with file.open("w") as text:  # line by line: what this process holds counts as memory of its children, too
            text.write(HEAD)
            text.writelines(_lines(number))
        for data_dir in (imported, copied):
            _manage(data_dir, "migrate", "--verbosity", "0")
        begin, cpu_begin = time.monotonic(), _cpu_of_children()
        _manage(imported, "import_users", str(file))
        seconds, cpu_seconds = time.monotonic() - begin, _cpu_of_children() - cpu_begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        databases = imported / "usermanager.sqlite3", copied / "usermanager.sqlite3"
        bare_seconds, bare_cpu_seconds = _time_executemany(*databases)
    print("| users | import_users | a second | peak memory | bare executemany | ratio | CPU | CPU, bare | CPU ratio |")
    print("| --- " * 9 + "|")
    cells = (
        f"{seconds:.1f} s",
        f"{number / seconds:,.0f}",
        f"{peak:.0f} MB",
        f"{bare_seconds:.1f} s",
        f"{seconds / bare_seconds:.1f}",
        f"{cpu_seconds:.1f} s",
        f"{bare_cpu_seconds:.1f} s",
        f"{cpu_seconds / bare_cpu_seconds:.1f}",
    )
    print(f"| {number:,} | {' | '.join(cells)} |")


def _lines(number: int) -> Iterator[str]:
    for index in range(number):
        created = FIRST_DAY + timedelta(seconds=index * 150)
        yield (
            f"person{index}.of@example{index % 500}.com,Name{index} Surname{index * 7 % 9999},es,true,"
            f'"{{""plan"": ""p{index % 3}""}}",{created:%Y-%m-%dT%H:%M:%SZ},{HASH}\n'
        )


def _manage(data_dir: Path, *arguments: str) -> None:
    environment = {**os.environ, "DATA_DIR": str(data_dir), "ENV_FILE": os.devnull, "LOG_LEVEL": "error"}
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=PROJECT, env=environment, check=True)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _time_executemany(source: Path, target: Path) -> tuple[float, float]:
    """Copies the users of one database to the other, and returns the seconds and the CPU seconds that it took."""
    with closing(sqlite3.connect(source)) as database:
        role = database.execute("SELECT id FROM accounts_role WHERE name = 'user'").fetchone()[0]
        cursor = database.execute("SELECT * FROM accounts_user")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    with closing(sqlite3.connect(target)) as database:
        role_copied = database.execute("SELECT id FROM accounts_role WHERE name = 'user'").fetchone()[0]
        place = names.index("role_id")
        rows = [(*row[:place], role_copied if row[place] == role else row[place], *row[place + 1 :]) for row in rows]
        database.execute("PRAGMA journal_mode=WAL")
        begin, cpu_begin = time.monotonic(), time.process_time()
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO accounts_user ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608
        database.commit()
        return time.monotonic() - begin, time.process_time() - cpu_begin


if __name__ == "__main__":
    main()
