"""Finds users by any part of their address or name, among a million as fast as among ten thousand.

Each user's `search_text` is folded here, in one way for both databases. PostgreSQL finds a part of it by trigrams
(pg_trgm), SQLite by its full text search (FTS5): triggers keep a table of trigrams up to date.

Rare terms: fetch the matches from the index and sort them. Common terms: scan in list order and stop when the page is
full. Neither planner can tell which is which, so we sample the newest 2,000 users.
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
MAX_LENGTH = 500  # longer than any address with a name
#: A term is common if 10 of the newest 2,000 users match, one in 200. Then either plan takes 10 ms at a million users.
SAMPLE_SIZE, COMMON_THRESHOLD = 2000, 10
#: Stands before the address and each word of the name. No term contains it, because folded() removes line ends.
WORD_START = "\n\n"

M = TypeVar("M", bound=Model)
logger = logging.getLogger(__name__)


def folded(text: str) -> str:
    """Returns the text in lower case, without accents and with single spaces: `garcia` for `GARCÍA`."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = "".join(character for character in text if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def text_of(email: str, email_key: str, full_name: str) -> str:
    """Returns the text that a search reads.

    It ends with the first two characters of each further word of the name, so that trigrams find the beginnings of
    words, too.
    """
    name = folded(full_name)
    parts = [folded(email), email_key, name, *(word[: TRIGRAM - 1] for word in name.split()[1:])]
    return "".join(WORD_START + part for part in dict.fromkeys(parts) if part)


def containing(users: "QuerySet[M]", part: str) -> "QuerySet[M]":
    """Filters users by a part of the address or the name.

    A part of fewer than three characters must begin the address or a word of the name.
    """
    term = folded(part)
    if not term:
        return users
    term = term if len(term) >= TRIGRAM else WORD_START + term
    found = users.filter(GreaterThan(StrIndex("search_text", Value(term)), 0))
    return found if _is_common(term) else found.filter(pk__in=_candidates(term))


def ensure_indexes(database: BaseDatabaseWrapper) -> None:
    """Creates missing indexes or triggers. Runs after each migration, because Django recreates tables of SQLite without
    their triggers."""
    (_ensure_postgresql_indexes if database.vendor == "postgresql" else _ensure_sqlite_triggers)(database)


def _is_common(term: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_AMONG_NEWEST, [SAMPLE_SIZE, _like(term), COMMON_THRESHOLD])
        return bool(cursor.fetchone()[0] >= COMMON_THRESHOLD)


def _candidates(term: str) -> RawSQL:
    """Returns a query for the ids of all users who may match the term."""
    if connection.vendor == "postgresql":
        return RawSQL(_LIKE, [_like(term)])  # noqa: S611 - constant statements
    return RawSQL(_MATCHING, [_trigrams(term)])  # noqa: S611


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


# With the second LIMIT, the sample of a common term ends after a few users.
_AMONG_NEWEST = (
    "SELECT count(*) FROM (SELECT 1 FROM"
    " (SELECT search_text FROM accounts_user ORDER BY id DESC LIMIT %s) AS newest"
    r" WHERE search_text LIKE %s ESCAPE '\' LIMIT %s) AS matches"
)

# SQLite ---------------------------------------------------------------------------------------------------------------

# Without positions the table is small, and addresses can't be read from it. A second table joins it to the users,
# because VACUUM may change the row numbers of accounts_user.
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
# SQLite limits the length of a query. These trigrams suffice, because each match is compared with the whole term.
_MAX_TRIGRAMS = 100


def _ensure_sqlite_triggers(database: BaseDatabaseWrapper) -> None:
    """Creates missing triggers. If there were any, users may have changed meanwhile, so all are indexed again."""
    with transaction.atomic(database.alias), database.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        missing = _TRIGGERS.keys() - {name for (name,) in cursor.fetchall()}
        triggers = [f"CREATE TRIGGER {name} {_TRIGGERS[name]}" for name in missing]
        for statement in (*_TABLES, *triggers, *_FILLING) if missing else ():
            cursor.execute(statement)


def _trigrams(text: str) -> str:
    """Returns an FTS5 query that requires all trigrams of the text."""
    starts = range(min(len(text) - TRIGRAM + 1, _MAX_TRIGRAMS))
    trigrams = dict.fromkeys(text[start : start + TRIGRAM].replace('"', '""') for start in starts)
    return " ".join(f'"{trigram}"' for trigram in trigrams)


# PostgreSQL -----------------------------------------------------------------------------------------------------------

# Users who never logged in come last, which isn't PostgreSQL's default.
_LAST_LOGIN = (
    "CREATE INDEX IF NOT EXISTS accounts_user_last_login ON accounts_user (last_login_at DESC NULLS LAST, id DESC)"
)
_EXTENSION = "CREATE EXTENSION IF NOT EXISTS pg_trgm"
_SEARCH = "CREATE INDEX IF NOT EXISTS accounts_user_search ON accounts_user USING gin (search_text gin_trgm_ops)"
# Without the array, a wrong estimate of the matches could make the planner join in the other direction.
_LIKE = "SELECT unnest(ARRAY(SELECT id FROM accounts_user WHERE search_text LIKE %s))"


def _ensure_postgresql_indexes(database: BaseDatabaseWrapper) -> None:
    """Creates the index of the last login, then the extension pg_trgm and its index. Without the extension, a search
    finds the same users and takes longer; a warning tells the operator who migrates."""
    with database.cursor() as cursor:
        cursor.execute(_LAST_LOGIN)
        try:
            cursor.execute(_EXTENSION)
            cursor.execute(_SEARCH)
        except DatabaseError as error:
            reason = str(error).strip().splitlines()[0]
            logger.warning(
                "Searches read every user: PostgreSQL's extension pg_trgm can't be used: %s. Let a superuser run"
                " CREATE EXTENSION pg_trgm in this database, and migrate again.",
                reason,
            )
