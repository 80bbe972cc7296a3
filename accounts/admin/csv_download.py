"""Lists as CSV files, sent while the rows are read, so that a million rows need little memory."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

CHUNK_CHARACTERS = 64 * 1024


def response(name: str, write: Callable[..., Iterator[None]], rows: QuerySet[Any]) -> StreamingHttpResponse:
    """Streams a file with this name and today's date. `write(rows, file)` writes it, and yields after each row."""
    response = StreamingHttpResponse(_chunks(write, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}-{timezone.now():%Y-%m-%d}.csv"'
    return response


def _chunks(write: Callable[..., Iterator[None]], rows: QuerySet[Any]) -> Iterator[str]:
    """Yields the file in chunks. It starts with a byte order mark, so that spreadsheet programs read UTF-8."""
    file = io.StringIO("\ufeff")
    file.seek(0, io.SEEK_END)
    for _row in write(rows, file, with_hashes=False):
        if file.tell() > CHUNK_CHARACTERS:
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()
