"""CSV that people open in a spreadsheet, which would run a cell that begins like a formula."""

import re

# OWASP, "CSV Injection": what a spreadsheet takes for the beginning of a formula, after any number of our own marks.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")


def defused(cell: str) -> str:
    """The cell as mere text: an apostrophe before what would be run."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restored(cell: str) -> str:
    """What defused() was given."""
    return cell[1:] if _MARKED.match(cell) else cell
