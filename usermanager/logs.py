"""Formats and filters the logs: each line gets its request id, and a status of 503 leaves no error of Django."""

import logging
import time
from functools import lru_cache
from http import HTTPStatus

from accounts import request_context

# Python's guide to logging names these switches under "Optimization". Without them, each line collects its thread, its
# process and its place in the code, which no formatter of this project shows.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
logging._srcfile = None


class ConsoleFormatter(logging.Formatter):
    """Formats a line for people. Formats the date and time of all lines of a second once."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name} [{request_id}] {message}", style="{")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{_date_and_time(int(record.created))},{int(record.msecs):03d}"


@lru_cache(maxsize=2)
def _date_and_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


class RequestIdFilter(logging.Filter):
    """Adds the request id to each line, or a dash if the line belongs to no request. Drops no line."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = request_context.current.get(None)
        record.request_id = current.request_id if current else "-"
        return True


class TemporaryErrorFilter(logging.Filter):
    """Drops the error, often with a traceback, that Django logs for each response with status 503.

    Such a request may work in a moment, and the access log has its line. Without this filter, a flood of requests fills
    the log with errors. The probes of /health/ are few, so theirs stay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        is_probe = request is not None and request.path.startswith("/health/")
        return is_probe or getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE
