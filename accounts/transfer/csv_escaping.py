"""Escapes cells of a CSV, because a program such as Excel runs a cell that begins like a formula.

With Spanish or German settings, such programs split cells at semicolons, and others split at tabs or line breaks, even
within quotation marks. One cell then becomes several cells or rows. So each part of a cell is escaped.
"""

import re

_BEGINS = r"(?:\A|(?<=[;\t\r\n]))"
# The beginnings of a formula (OWASP, "CSV Injection", and the full-width characters of East Asian systems), after any
# number of spaces, quotation marks and apostrophes that this module wrote.
_FORMULA = r"[ \"']*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_UNMARKED = re.compile(rf"{_BEGINS}(?={_FORMULA})")
_MARK = re.compile(rf"{_BEGINS}'(?={_FORMULA})")


def escape_formulas(cell: str) -> str:
    """Puts an apostrophe before each part of the cell that would run as a formula."""
    return _UNMARKED.sub("'", cell)


def unescape_formulas(cell: str) -> str:
    """Removes the apostrophes of escape_formulas()."""
    return _MARK.sub("", cell) if "'" in cell else cell
