"""The audit trail: `audit.record()` writes who did what to whom, in the transaction of the change itself."""

from accounts.audit.kinds import KINDS, ordered
from accounts.audit.log import (
    RETENTION,
    erase_request_context,
    may_see_request_context,
    prune,
    record,
    record_all,
    record_once,
)

__all__ = [
    "KINDS",
    "RETENTION",
    "erase_request_context",
    "may_see_request_context",
    "ordered",
    "prune",
    "record",
    "record_all",
    "record_once",
]
