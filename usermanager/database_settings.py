"""What Django is told about the database that DATABASE_URL names."""

from typing import Any

SQLITE_OPTIONS = {
    # Every write takes its lock at once: deferred, two that read first and write then end in "database is locked".
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # What was answered survives a power cut (FULL); the journal shrinks again after a large transaction. What was
    # deleted is overwritten, so that nobody who left can be read in the file.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;"
    " PRAGMA mmap_size=134217728; PRAGMA secure_delete=ON;",
}


def is_sqlite(database: dict[str, Any]) -> bool:
    return str(database["ENGINE"]).endswith("sqlite3")


def complete(database: dict[str, Any]) -> dict[str, Any]:
    """An entry of DATABASES: what the URL says, and what this product needs of each of the two databases."""
    options = SQLITE_OPTIONS if is_sqlite(database) else {}
    return database | {
        "CONN_MAX_AGE": None,  # opening a connection costs a third of a request
        "CONN_HEALTH_CHECKS": not is_sqlite(database),
        "OPTIONS": {**database["OPTIONS"], **options},
    }
