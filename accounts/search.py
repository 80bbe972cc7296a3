"""Finds users by any part of their address or name, among a million as fast as among ten thousand.

Each user's `search_text` is folded here, in one way for both databases. PostgreSQL finds a part of it by trigrams
(pg_trgm), SQLite by its full text search (FTS5): a table of trigrams that triggers keep in step.

A part that few have is looked up there, and the few are put in order. One that many have is soon met by whoever goes
through the users in the order of the list and looks at each. Which of the two is faster no database can tell, so the
newest users are asked first.
"""

import logging
import unicodedata
from typing import TypeVar

from django.db import DatabaseError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan

TRIGRAM = 3
LONGEST = 500  # no address with a name is as long
#: Many have what so many of the newest users have: one in 200, with which either way takes 10 ms at a million users.
NEWEST, MANY = 2000, 10
#: Stands before the address and each word of the name; no part that is sought has it within, as folded() leaves none.
BEGINNING = "\n\n"

M = TypeVar("M", bound=Model)
logger = logging.getLogger(__name__)


def folded(text: str) -> str:
    """The text without capitals and accents, and with single spaces: `garcia` for `GARCÍA`."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = "".join(character for character in text if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def text_of(email: str, email_key: str, full_name: str) -> str:
    """What a search looks at.

    The first two characters of the further words of the name stand once more at its end, so that the trigrams find
    the beginnings of words, too.
    """
    name = folded(full_name)
    parts = [folded(email), email_key, name, *(word[: TRIGRAM - 1] for word in name.split()[1:])]
    return "".join(BEGINNING + part for part in dict.fromkeys(parts) if part)


def containing(users: "QuerySet[M]", part: str) -> "QuerySet[M]":
    """Those with this part in the address or the name.

    One of under three characters has to begin the address or a word of the name.
    """
    sought = folded(part)
    if not sought:
        return users
    sought = sought if len(sought) >= TRIGRAM else BEGINNING + sought
    found = users.filter(GreaterThan(StrIndex("search_text", Value(sought)), 0))
    return found if _have_many(sought) else found.filter(pk__in=_candidates(sought))


def ensure_index(database: BaseDatabaseWrapper) -> None:
    """Makes the index where it is missing: after each migration, as one that makes a table of SQLite anew takes its
    triggers away."""
    (_ensure_extension if database.vendor == "postgresql" else _ensure_triggers)(database)


def _have_many(sought: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_AMONG_NEWEST, [NEWEST, _like(sought)])
        return bool(cursor.fetchone()[0] >= MANY)


def _candidates(sought: str) -> RawSQL:
    """A query for the ids of all that may hold the text."""
    if connection.vendor == "postgresql":
        return RawSQL(_LIKE, [_like(sought)])  # noqa: S611 - statements of our own
    return RawSQL(_MATCHING, [_trigrams(sought)])  # noqa: S611


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


_AMONG_NEWEST = (
    "SELECT count(*) FROM (SELECT search_text FROM accounts_user ORDER BY id DESC LIMIT %s) AS newest"
    r" WHERE search_text LIKE %s ESCAPE '\'"
)

# SQLite ---------------------------------------------------------------------------------------------------------------

# Without positions the table is small, and does not tell an address. A second one joins it to the users, as SQLite may
# number the rows of accounts_user anew (VACUUM).
_TABLES = (
    "CREATE TABLE IF NOT EXISTS accounts_user_search (number INTEGER PRIMARY KEY, user_id CHAR(32) NOT NULL UNIQUE)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS accounts_user_trigrams USING fts5(
        text, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1')""",
)
_TRIGGERS = {
    "accounts_user_search_insert": """AFTER INSERT ON accounts_user BEGIN
        INSERT INTO accounts_user_search (user_id) VALUES (new.id);
        INSERT INTO accounts_user_trigrams (rowid, text) VALUES (last_insert_rowid(), new.search_text);
    END""",
    "accounts_user_search_update": """AFTER UPDATE OF search_text ON accounts_user
    WHEN new.search_text <> old.search_text BEGIN
        INSERT INTO accounts_user_trigrams (accounts_user_trigrams, rowid, text)
            SELECT 'delete', number, old.search_text FROM accounts_user_search WHERE user_id = old.id;
        INSERT INTO accounts_user_trigrams (rowid, text)
            SELECT number, new.search_text FROM accounts_user_search WHERE user_id = old.id;
    END""",
    "accounts_user_search_delete": """AFTER DELETE ON accounts_user BEGIN
        INSERT INTO accounts_user_trigrams (accounts_user_trigrams, rowid, text)
            SELECT 'delete', number, old.search_text FROM accounts_user_search WHERE user_id = old.id;
        DELETE FROM accounts_user_search WHERE user_id = old.id;
    END""",
}
_FILLING = (
    "DELETE FROM accounts_user_search",
    "INSERT INTO accounts_user_search (user_id) SELECT id FROM accounts_user ORDER BY id",
    "INSERT INTO accounts_user_trigrams (accounts_user_trigrams) VALUES ('delete-all')",
    "INSERT INTO accounts_user_trigrams (rowid, text)"
    " SELECT number, search_text FROM accounts_user_search JOIN accounts_user ON accounts_user.id = user_id",
)
_MATCHING = (
    "SELECT user_id FROM accounts_user_search WHERE number IN"
    " (SELECT rowid FROM accounts_user_trigrams WHERE accounts_user_trigrams MATCH %s)"
)
_MOST_TRIGRAMS = 100  # of a longer part: SQLite takes no term of any length, and who matches is looked at anyway


def _ensure_triggers(database: BaseDatabaseWrapper) -> None:
    """Where one is missing, users may have changed unseen: all of them are indexed anew."""
    with transaction.atomic(database.alias), database.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        missing = _TRIGGERS.keys() - {name for (name,) in cursor.fetchall()}
        triggers = [f"CREATE TRIGGER {name} {_TRIGGERS[name]}" for name in missing]
        for statement in (*_TABLES, *triggers, *_FILLING) if missing else ():
            cursor.execute(statement)


def _trigrams(text: str) -> str:
    """Each trigram as a string of FTS5; all of them have to be there."""
    starts = range(min(len(text) - TRIGRAM + 1, _MOST_TRIGRAMS))
    trigrams = dict.fromkeys(text[start : start + TRIGRAM].replace('"', '""') for start in starts)
    return " ".join(f'"{trigram}"' for trigram in trigrams)


# PostgreSQL -----------------------------------------------------------------------------------------------------------

# Who never logged in comes last, which is not PostgreSQL's own order.
_LAST_LOGIN = (
    "CREATE INDEX IF NOT EXISTS accounts_user_last_login ON accounts_user (last_login_at DESC NULLS LAST, id DESC)"
)
_EXTENSION = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
_SEARCH = "CREATE INDEX IF NOT EXISTS accounts_user_search ON accounts_user USING gin (search_text gin_trgm_ops)"
# The array keeps the planner from joining the other way round on a bad guess of how many match.
_LIKE = "SELECT unnest(ARRAY(SELECT id FROM accounts_user WHERE search_text LIKE %s))"


def _ensure_extension(database: BaseDatabaseWrapper) -> None:
    """Where pg_trgm cannot be had, a search finds the same and takes longer; whoever migrates is told."""
    with database.cursor() as cursor:
        cursor.execute(_LAST_LOGIN)
        try:
            cursor.execute(_EXTENSION)
            cursor.execute(_SEARCH)
        except DatabaseError as fault:
            reason = str(fault).strip().splitlines()[0]
            logger.warning(
                "Searches look at every user, as PostgreSQL's extension pg_trgm cannot be used: %s. Let a superuser run"
                " CREATE EXTENSION pg_trgm in this database, and migrate again.",
                reason,
            )
