"""CSV that people open in a spreadsheet, which would run a cell that begins like a formula.

A spreadsheet of a Spanish or German system separates cells at semicolons, others at tabs, whatever commas and quotation
marks say: it makes several cells of one of ours, and a row of each of its lines. So each part counts as a cell.
"""

import re

_BEGINS = r"(?:\A|(?<=[;\t\r\n]))"
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection", with the wide signs of East Asian
# systems), after any number of spaces, quotation marks and our own marks.
_FORMULA = r"[ \"']*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_UNMARKED = re.compile(rf"{_BEGINS}(?={_FORMULA})")
_MARK = re.compile(rf"{_BEGINS}'(?={_FORMULA})")


def defused(cell: str) -> str:
    """The cell as mere text: an apostrophe before each part that would be run."""
    return _UNMARKED.sub("'", cell)


def restored(cell: str) -> str:
    """What defused() was given."""
    return _MARK.sub("", cell) if "'" in cell else cell
