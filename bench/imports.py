"""How long `manage.py import_users` takes for a million users, beside a bare executemany of the same rows.

    .venv/bin/python bench/imports.py [--users 1000000]

Both write into SQLite files with all tables and indexes of the product, in a temporary folder, one after the other. The
bare one is given rows that were read, judged and composed already, and writes them in one transaction.
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
        file, here, there = Path(folder) / "users.csv", Path(folder) / "here", Path(folder) / "there"
        with file.open("w") as text:  # line by line: what we hold when we start a child counts as its memory, too
            text.write(HEAD)
            text.writelines(_lines(number))
        for data_dir in (here, there):
            _manage(data_dir, "migrate", "--verbosity", "0")
        begin = time.monotonic()
        _manage(here, "import_users", str(file))
        seconds = time.monotonic() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        bare = _bare(here / "usermanager.sqlite3", there / "usermanager.sqlite3")
    print("| users | import_users | a second | peak memory | bare executemany | ratio |")
    print("| --- " * 6 + "|")
    cells = (f"{seconds:.1f} s", f"{number / seconds:,.0f}", f"{peak:.0f} MB", f"{bare:.1f} s", f"{seconds / bare:.1f}")
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


def _bare(source: Path, target: Path) -> float:
    """Seconds for the rows of the one database to stand in the other."""
    with closing(sqlite3.connect(source)) as database:
        role = database.execute("SELECT id FROM accounts_role WHERE name = 'user'").fetchone()[0]
        cursor = database.execute("SELECT * FROM accounts_user")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    with closing(sqlite3.connect(target)) as database:
        role_there = database.execute("SELECT id FROM accounts_role WHERE name = 'user'").fetchone()[0]
        place = names.index("role_id")
        rows = [(*row[:place], role_there if row[place] == role else row[place], *row[place + 1 :]) for row in rows]
        database.execute("PRAGMA journal_mode=WAL")
        begin = time.monotonic()
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO accounts_user ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608
        database.commit()
        return time.monotonic() - begin


if __name__ == "__main__":
    main()
