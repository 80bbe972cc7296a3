"""Writes users as CSV or JSON lines, which import to the same users."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import itemgetter
from typing import IO, Any

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db.models import QuerySet

from accounts import batches, metadata
from accounts.models import User
from accounts.transfer import csv_escaping


def write_csv(users: QuerySet[User], file: IO[str], *, with_hashes: bool) -> Iterator[None]:
    """Writes the users, and yields after each."""
    writer = csv.writer(file)
    rows = _rows(users, with_hashes)
    writer.writerow([*User.EXPORT_FIELDS, "password_hash"] if with_hashes else User.EXPORT_FIELDS)
    for row in rows:
        writer.writerow([csv_escaping.escape_formulas(_cell(value)) for value in row.values()])
        yield


def write_json_lines(users: QuerySet[User], file: IO[str], *, with_hashes: bool) -> Iterator[None]:
    """Writes the users, and yields after each."""
    for row in _rows(users, with_hashes):
        file.write(json.dumps(row, ensure_ascii=False, default=_text) + "\n")
        yield


WRITERS: dict[str, Callable[..., Iterator[None]]] = {"csv": write_csv, "jsonl": write_json_lines}


def _rows(users: QuerySet[User], with_hashes: bool) -> Iterator[dict[str, Any]]:
    """Yields a row for each user, ordered by id."""
    columns = [*User.EXPORT_FIELDS, "password_hash"]
    stored = [{"role": "role__name", "password_hash": "password"}.get(name, name) for name in columns]
    for row in batches.read(users.values_list(*stored), "id", itemgetter(0)):
        yield _row(dict(zip(columns, row, strict=True)), with_hashes)


def _row(row: dict[str, Any], with_hashes: bool) -> dict[str, Any]:
    """Leaves out an accepted invitation if the hash is left out. Without the hash, it would look open or revoked."""
    row["metadata"] = metadata.ordered(row["metadata"])
    encoded = row.pop("password_hash")
    has_password = not encoded.startswith(UNUSABLE_PASSWORD_PREFIX)
    if with_hashes:
        return row | {"password_hash": encoded if has_password else ""}
    return row | (dict.fromkeys(("invited_at", "invitation_ended_at")) if has_password else {})


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else _text(value)


def _text(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
