"""Runs all benchmarks one after the other, and adds what they print to bench/RESULTS.md: `make bench`.

    .venv/bin/python -m bench [--sections profile,operations] [--seconds 3]
                              [--database postgres://postgres@127.0.0.1/postgres]

Takes about eight minutes on two cores. With --sections, runs some of them and only prints. Each section is also a
program of its own with further options: `python -m bench.operations --help`.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.service import PROJECT

RESULTS = PROJECT / "bench" / "RESULTS.md"
NEWEST_FIRST = "<!-- make bench adds its results below this line, the newest first -->\n"


def main() -> None:
    options = _options()
    sections = _sections(options)
    wanted = options.sections.split(",") if options.sections else list(sections)
    report = [_print(f"## {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_commit()}\n\n{_machine()}\n")]
    for name in wanted:
        title, program = sections[name]
        report += [_print(f"\n### {title}\n\n"), _output_of(program)]
    if not options.sections:
        before, marker, after = RESULTS.read_text().partition(NEWEST_FIRST)
        RESULTS.write_text(f"{before}{marker}\n{''.join(report)}{after}")


def _sections(options: argparse.Namespace) -> dict[str, tuple[str, list[str]]]:
    """Returns the title of each section, and the program that prints it."""
    seconds = ["--seconds", str(options.seconds)]
    longer = ["--seconds", str(3 * options.seconds)]
    database = ["--database", options.database] if options.database else []
    return {
        "profile": ("The steps of GET users/me/", ["bench.profile"]),
        "operations": ("Operations", ["bench.operations", *seconds, *database]),
        "logins": ("Login flood: 64 clients", ["bench.logins", *longer, *database]),
        "flood": ("Login flood of one network", ["bench.flood", "--scenario", "logins", *longer, *database]),
        "mail": ("Emails", ["bench.mail", "--parts", "rates"]),
        "imports": ("Import", ["bench.imports", "--users", "100000"]),
        "footprint": ("Start and memory", ["bench.footprint"]),
    }


def _output_of(program: list[str]) -> str:
    """Runs a benchmark. Prints its lines as they come, and returns them; a table as it is, other text as code."""
    lines = []
    command = [sys.executable, "-m", *program]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(_print(line))
    if process.returncode:
        lines.append(_print(f"{program[0]} ended with status {process.returncode}.\n"))
    text = "".join(lines)
    return text if "| ---" in text else f"```text\n{text.strip()}\n```\n"


def _print(text: str) -> str:
    print(text, end="", flush=True)
    return text


def _commit() -> str:
    """Returns the abbreviated commit, and whether files differ from it."""
    git = shutil.which("git")
    if git is None:
        return "unknown commit"
    described = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=8"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return f"commit {described.stdout.strip()}" if described.returncode == 0 else "unknown commit"


def _machine() -> str:
    cpu = _value("/proc/cpuinfo", "model name") or platform.machine()
    memory = int((_value("/proc/meminfo", "MemTotal") or "0").split()[0]) / 1024**2
    kernel = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores of {cpu}, {memory:.0f} GB, {kernel}, Python {platform.python_version()}"


def _value(file: str, key: str) -> str | None:
    """Returns the value of the first line `key: value` of a file in /proc."""
    for line in Path(file).read_text().splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", default="", help="for example profile,operations")
    parser.add_argument("--seconds", type=float, default=3, help="of each figure of an operation")
    parser.add_argument("--database", default="", help="a PostgreSQL server, on which databases are made and dropped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
