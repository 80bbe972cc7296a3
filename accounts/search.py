"""Finds users by any part of their address or name.

Each user's `search_text` is folded here, in one way for both databases. PostgreSQL finds a part of it by trigrams
(pg_trgm), SQLite by its full text search (FTS5): a table of trigrams that triggers keep in step.
"""

import unicodedata
from typing import TypeVar

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL

TRIGRAM = 3
# With more candidates than that SQLite goes through the users in the order of the list and looks at each: a page is
# full soon, where sorting all candidates first takes the longer the more there are.
FEW = 5000

# A table of its own joins the two, as SQLite may number the rows of accounts_user anew (VACUUM).
_SQLITE = (
    "CREATE TABLE IF NOT EXISTS accounts_user_search (number INTEGER PRIMARY KEY, user_id CHAR(32) NOT NULL UNIQUE)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS accounts_user_trigrams USING fts5(
        text, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1')""",
    """CREATE TRIGGER IF NOT EXISTS accounts_user_search_insert AFTER INSERT ON accounts_user BEGIN
        INSERT INTO accounts_user_search (user_id) VALUES (new.id);
        INSERT INTO accounts_user_trigrams (rowid, text) VALUES (last_insert_rowid(), new.search_text);
    END""",
    """CREATE TRIGGER IF NOT EXISTS accounts_user_search_update AFTER UPDATE OF search_text ON accounts_user
    WHEN new.search_text <> old.search_text BEGIN
        INSERT INTO accounts_user_trigrams (accounts_user_trigrams, rowid, text)
            SELECT 'delete', number, old.search_text FROM accounts_user_search WHERE user_id = old.id;
        INSERT INTO accounts_user_trigrams (rowid, text)
            SELECT number, new.search_text FROM accounts_user_search WHERE user_id = old.id;
    END""",
    """CREATE TRIGGER IF NOT EXISTS accounts_user_search_delete AFTER DELETE ON accounts_user BEGIN
        INSERT INTO accounts_user_trigrams (accounts_user_trigrams, rowid, text)
            SELECT 'delete', number, old.search_text FROM accounts_user_search WHERE user_id = old.id;
        DELETE FROM accounts_user_search WHERE user_id = old.id;
    END""",
)
_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX IF NOT EXISTS accounts_user_search ON accounts_user USING gin (search_text gin_trgm_ops)",
    # Who never logged in comes last, which is not PostgreSQL's own order.
    "CREATE INDEX IF NOT EXISTS accounts_user_last_login ON accounts_user (last_login_at DESC NULLS LAST, id DESC)",
)
_MATCHING = (
    "SELECT user_id FROM accounts_user_trigrams JOIN accounts_user_search ON number = accounts_user_trigrams.rowid"
    " WHERE accounts_user_trigrams MATCH %s"
)
_BEGINNING = "SELECT id FROM accounts_user WHERE email_key >= %s AND email_key < %s"

M = TypeVar("M", bound=Model)


def folded(text: str) -> str:
    """The text without capitals and accents: `garcia` for `GARCÍA`."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).casefold()


def text_of(email_key: str, full_name: str) -> str:
    """What a search looks at; it begins with the address."""
    return folded(f"{email_key}\n{full_name}")


def containing(users: "QuerySet[M]", part: str) -> "QuerySet[M]":
    """Those with this part in the address or the name; one of under three characters has to begin the address."""
    sought = folded(part.strip())
    lookup = "contains" if len(sought) >= TRIGRAM else "startswith"
    found = users.filter(**{f"search_text__{lookup}": sought})
    candidates = _few_candidates(sought) if connection.vendor == "sqlite" else None
    return found.filter(pk__in=candidates) if candidates else found


def ensure_index(database: BaseDatabaseWrapper) -> None:
    """Makes what Django's models cannot describe, where it is missing: after each migration, as one that makes a table
    of SQLite anew takes its triggers away."""
    statements = _POSTGRESQL if database.vendor == "postgresql" else _SQLITE
    with database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _few_candidates(sought: str) -> RawSQL | None:
    """A query for the ids of all that may match, or None when there are many."""
    if len(sought) < TRIGRAM:
        ids, values = _BEGINNING, [sought, sought + chr(0x10FFFF)]
    else:
        trigrams = {sought[start : start + TRIGRAM] for start in range(len(sought) - TRIGRAM + 1)}
        ids, values = _MATCHING, [" AND ".join(map(_quoted, sorted(trigrams)))]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({ids} LIMIT {FEW + 1})", values)  # noqa: S608 - statements of our own
        number: int = cursor.fetchone()[0]
    return RawSQL(ids, values) if number <= FEW else None  # noqa: S611 - statements of our own


def _quoted(trigram: str) -> str:
    escaped = trigram.replace('"', '""')
    return f'"{escaped}"'
