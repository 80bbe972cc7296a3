"""Completes the entry of DATABASES that DATABASE_URL describes."""

from typing import Any

SQLITE_BACKEND = "usermanager.sqlite"  # Django's own, with a fair lock before SQLite's
SQLITE_OPTIONS = {
    # A transaction takes the write lock when it begins. Deferred, two that read first and then write would fail with
    # "database is locked".
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    # Committed data survives a power cut (FULL). The journal shrinks again after a large transaction. SQLite
    # overwrites deleted rows, so that the file holds no data of deleted users.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;"
    " PRAGMA mmap_size=134217728; PRAGMA secure_delete=ON;",
}
# A server that rejects connections fails at once. A silent server or a network that loses all packets fails within
# seconds. Query parameters of DATABASE_URL override each of these.
POSTGRES_OPTIONS = {
    "connect_timeout": 2,  # seconds
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 3,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}


def is_sqlite(database: dict[str, Any]) -> bool:
    return "sqlite" in str(database["ENGINE"])


def complete(database: dict[str, Any]) -> dict[str, Any]:
    """Returns the entry with the options that the product needs on SQLite or on PostgreSQL."""
    given, common = database["OPTIONS"], {"CONN_MAX_AGE": None}  # opening a connection costs a third of a request
    if is_sqlite(database):
        own = {"ENGINE": SQLITE_BACKEND, "CONN_HEALTH_CHECKS": False, "OPTIONS": given | SQLITE_OPTIONS}
    else:
        own = {"CONN_HEALTH_CHECKS": True, "OPTIONS": POSTGRES_OPTIONS | given}
    return database | common | own
