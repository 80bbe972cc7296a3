"""Tells what the database cannot do now, which may work in a moment, from a mistake of a program, which will not.

The first is answered with 503 `overloaded`: the server is away, silent, starting, full or read-only, or a lock was
not to be had. The second stays a 500.
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
PROGRAM_LIMITS = "54"  # a statement that is too complex, a value too long for an index: that does not change
# SQLite calls a table that does not exist an operational error, too: its codes tell (sqlite.org/rescode.html).
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
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of the files beside the database

log = logging.getLogger(__name__)


def refusal(error: BaseException | None) -> Overloaded | None:
    """What a request that met this error is answered; None where the error is no matter of the moment.

    Call it outside any transaction: it drops the connection where that is of no more use.
    """
    if not is_temporary(error):
        return None
    log.warning("answered with 503: %s %s", type(error).__name__, str(error).partition("\n")[0])
    drop_if_read_only(error)
    return Overloaded(DETAIL, retry_after=RETRY_AFTER)


def is_temporary(error: BaseException | None) -> bool:
    """Whether the same may work in a moment."""
    if isinstance(error, OSError):
        return error.errno in DISK_ERRORS
    if not isinstance(error, Error):
        return False
    if isinstance(error.__cause__, sqlite3.Error):
        return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF in SQLITE_CODES
    state = sqlstate(error)
    return state == READ_ONLY or (isinstance(error, OperationalError) and not state.startswith(PROGRAM_LIMITS))


def sqlstate(error: BaseException) -> str:
    """PostgreSQL's code of the error; empty where it came from elsewhere, such as from connecting."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def drop_if_read_only(error: BaseException | None) -> None:
    """Closes a connection to a server that only reads, so that the next request connects to what is in charge now.

    Such a connection works, so that neither Django nor a pool would close it: after a failover it would stay for good.
    """
    if isinstance(error, Error) and sqlstate(error) == READ_ONLY and connection.connection is not None:
        connection.connection.close()  # itself: Django's close() would only give it back to its pool
        connection.close()
