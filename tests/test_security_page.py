"""docs/security.md names files that exist, and leaves out no requirement of the chapters that apply."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
TABLES = PAGE.partition("## ASVS 5.0")[2].partition("## RFC 8725")[0]

# The last requirement of level 1 or 2 in each section of ASVS 5.0; those of level 3 come after them.
SECTIONS = {
    **{"1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1},
    **{"3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4},
    **{"6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4},
    **{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1},
    **{"9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3},
    **{"11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1},
    **{"13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3},
    **{"16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3},
}


def test_every_requirement_is_named_once() -> None:
    wanted = {f"{section}.{number}" for section, last in SECTIONS.items() for number in range(1, last + 1)}
    named = Counter(number for line in TABLES.splitlines() for number in _numbers(line))
    assert set(named) == wanted
    assert not {number for number, times in named.items() if times > 1}


def test_every_file_exists() -> None:
    missing = [name for name in re.findall(r"`([\w./]+\.py)`", PAGE) if not any(map(Path.exists, _places(name)))]
    assert not missing


def _numbers(line: str) -> list[str]:
    """Those of the first cell of a row, or of a line of text."""
    cell = line.split("|")[1] if line.startswith("|") else line
    return re.findall(r"(?<![\d.])\d{1,2}\.\d\.\d{1,2}(?![\d.]*\d)", cell)


def _places(name: str) -> list[Path]:
    return [ROOT / name, ROOT / "accounts" / name, ROOT / "tests" / name]
