"""Tells temporary database errors, which may be gone in a moment, from errors of the program.

A temporary error is answered with 503 `overloaded`: the server is down, silent, starting, full or read-only, or a lock
was not available in time. An error of the program stays a 500.
"""

import errno
import logging
import sqlite3
from datetime import timedelta

from django.db import OperationalError, connection
from django.db.utils import Error
from django.utils.translation import gettext_lazy as _

from accounts.errors import Overloaded

DETAIL = _("The service can't do this right now. Please try again in a moment.")
RETRY_AFTER = timedelta(seconds=5)
READ_ONLY = "25006"
PROGRAM_LIMITS = "54"  # such as a statement that is too complex, or a value too long for an index: never temporary
# Django raises OperationalError for a missing table of SQLite, too. Its codes tell (sqlite.org/rescode.html).
SQLITE_CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of files outside the database

log = logging.getLogger(__name__)


def handle(error: BaseException | None) -> Overloaded | None:
    """Logs a temporary error and returns the Overloaded error that answers the request; None for any other error.

    Call it outside any transaction: it closes a connection to a read-only server.
    """
    if not is_temporary(error):
        return None
    log.warning("answered with 503: %s %s", type(error).__name__, str(error).partition("\n")[0])
    drop_if_read_only(error)
    return Overloaded(DETAIL, retry_after=RETRY_AFTER)


def is_temporary(error: BaseException | None) -> bool:
    """Returns whether the same request may succeed in a moment."""
    if isinstance(error, OSError):
        return error.errno in DISK_ERRORS
    if not isinstance(error, Error):
        return False
    if isinstance(error.__cause__, sqlite3.Error):
        return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF in SQLITE_CODES
    state = sqlstate(error)
    return state == READ_ONLY or (isinstance(error, OperationalError) and not state.startswith(PROGRAM_LIMITS))


def sqlstate(error: BaseException) -> str:
    """Returns PostgreSQL's code of the error, or an empty text if PostgreSQL sent none, as when connecting fails."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def drop_if_read_only(error: BaseException | None) -> None:
    """Closes a connection to a read-only server, so that the next request connects to the current primary.

    Django and the pool keep a connection that works. Without this, it would stay open after a failover.
    """
    if isinstance(error, Error) and sqlstate(error) == READ_ONLY and connection.connection is not None:
        connection.connection.close()  # psycopg's own close(): Django's would only return it to the pool
        connection.close()
