"""Turns the records that other products export into rows; there is a reader for each product.

A reader renames the fields, and the row validates the values. A key that is missing or empty in the record gets no
default, because an update would then change an existing user. Administrators of other products become ordinary users,
because a file must not grant permissions; `users set-role` does that.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.transfer import hashes
from accounts.transfer.rows import Rejected, Row, UnreadableValue, flag

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def usermanager(record: Row) -> Row:
    """UserManager: the output of `users list --json` and `export_users`, and any file with these names."""
    return record


def supabase(record: Row) -> Row:
    """Supabase Auth: the table auth.users, as CSV or JSON. A ban becomes a suspension with the same end."""
    profile = _object(record.get("raw_user_meta_data"))
    banned_until = record.get("banned_until")
    suspended_until = _future(banned_until)
    confirmed_at = record.get("email_confirmed_at") or record.get("confirmed_at")
    if record.get("deleted_at"):
        raise Rejected("deleted_at: the user was deleted in Supabase")
    return {
        "id": record.get("id"),
        "email": record.get("email"),
        "password_hash": record.get("encrypted_password"),
        "full_name": profile.get("full_name") or profile.get("name"),
        "email_verified": True if confirmed_at else None,
        "is_active": suspended_until is None if banned_until else None,
        "suspended_until": suspended_until,
        "created_at": record.get("created_at"),
        "last_login_at": record.get("last_sign_in_at"),
        "metadata": record.get("raw_user_meta_data"),
    }


def keycloak(record: Row) -> Row:
    """Keycloak: the users of a realm export (`kc.sh export`)."""
    created = record.get("createdTimestamp")
    attributes = _object(record.get("attributes"))
    locale = attributes.get("locale")
    names = (record.get("firstName"), record.get("lastName"))
    return {
        "id": record.get("id"),
        "email": record.get("email") or record.get("username"),
        "full_name": " ".join(str(name) for name in names if name),
        "is_active": record.get("enabled"),
        "email_verified": record.get("emailVerified"),
        "locale": _language(locale[0] if isinstance(locale, list) and locale else locale),
        "created_at": _milliseconds(created),
        "password_hash": _keycloak_hash(record.get("credentials") or []),
        "metadata": record.get("attributes"),
    }


def auth0(record: Row) -> Row:
    """Auth0: the export of users (NDJSON), or the export of password hashes, which Auth0's support provides."""
    profile = _object(record.get("user_metadata"))
    return {
        "email": record.get("email"),
        "full_name": record.get("name") if record.get("name") != record.get("email") else None,
        "email_verified": record.get("email_verified"),
        "is_active": _opposite(record.get("blocked")),
        "locale": _language(record.get("locale") or profile.get("locale")),
        "created_at": record.get("created_at"),
        "last_login_at": record.get("last_login"),
        "password_hash": record.get("passwordHash") or record.get("password_hash"),
        "metadata": record.get("user_metadata"),
    }


def django(record: Row) -> Row:
    """Django: the table of django.contrib.auth as CSV, or `dumpdata auth.user` as JSON."""
    fields = _object(record.get("fields")) or record
    names = (fields.get("first_name"), fields.get("last_name"))
    password = str(fields.get("password") or "")
    return {
        "email": fields.get("email"),
        "full_name": " ".join(str(name) for name in names if name),
        "is_active": fields.get("is_active"),
        "created_at": fields.get("date_joined"),
        "last_login_at": fields.get("last_login"),
        "password_hash": "" if password.startswith("!") else password,  # "!" means: no password
    }


def fastapi_users(record: Row) -> Row:
    """FastAPI Users: its table as CSV or JSON."""
    return {
        "id": record.get("id"),
        "email": record.get("email"),
        "password_hash": record.get("hashed_password"),
        "is_active": record.get("is_active"),
        "email_verified": record.get("is_verified"),
        "full_name": record.get("full_name") or record.get("name"),
        "created_at": record.get("created_at"),
    }


def firebase(record: Row, rounds: int = 8, mem_cost: int = 14, salt_separator: str = "Bw==") -> Row:
    """Firebase Authentication: `firebase auth:export`, as JSON or CSV, with the hash parameters of the project.

    Its ids are not UUIDs, so they go into the metadata, with the phone number and custom claims.
    """
    kept = {
        "firebase_uid": record.get("localId"),
        "phone_number": record.get("phoneNumber"),
        "custom_claims": _object(record.get("customAttributes")),
    }
    return {
        "email": record.get("email"),
        "full_name": record.get("displayName"),
        "email_verified": record.get("emailVerified"),
        "is_active": _opposite(record.get("disabled")),
        "created_at": _milliseconds(record.get("createdAt")),
        "last_login_at": _milliseconds(record.get("lastSignedInAt") or record.get("lastLoginAt")),
        "password_hash": _firebase_hash(record, rounds, mem_cost, salt_separator),
        "metadata": {name: value for name, value in kept.items() if value} or None,
    }


def wordpress(record: Row) -> Row:
    """WordPress: the table wp_users, as CSV or JSON."""
    registered = record.get("user_registered")
    return {
        "email": record.get("user_email"),
        "full_name": record.get("display_name") if record.get("display_name") != record.get("user_email") else None,
        "created_at": None if str(registered).startswith("0000-") else registered,  # MySQL's zero date means: none
        "password_hash": record.get("user_pass"),
    }


def _keycloak_hash(credentials: Any) -> str | UnreadableValue | None:
    """Returns the PBKDF2 or argon2 hash, whose parts Keycloak stores as JSON within JSON."""
    damaged = UnreadableValue("the password hash is damaged")
    if not isinstance(credentials, list) or not all(isinstance(one, dict) for one in credentials):
        return damaged
    password = next((one for one in credentials if one.get("type") == "password"), None)
    if password is None:
        return None
    secret, parameters = (_object(password.get(name)) for name in ("secretData", "credentialData"))
    algorithm = str(parameters.get("algorithm"))
    try:
        if algorithm == "argon2":
            return _keycloak_argon2(secret, parameters)
        digest = algorithm.removeprefix("pbkdf2").removeprefix("-") or "sha1"
        salt, key = (hashes.decode_base64(secret[part]) for part in ("salt", "value"))
        return hashes.pbkdf2(digest, int(parameters["hashIterations"]), salt, key)
    except hashes.UnknownHash as error:
        return UnreadableValue(str(error))
    except (LookupError, ValueError, TypeError, AttributeError):
        return damaged


def _keycloak_argon2(secret: Row, parameters: Row) -> str:
    more = {name: values[0] for name, values in parameters["additionalParameters"].items()}
    salt, key = (secret[part].rstrip("=") for part in ("salt", "value"))
    costs = f"m={more['memory']},t={parameters['hashIterations']},p={more['parallelism']}"
    return f"$argon2{more['type']}$v=19${costs}${salt}${key}"


def _object(value: Any) -> dict[str, Any]:
    """Returns a JSON object, which a CSV holds as text, or {} for any other value."""
    try:
        held = json.loads(value) if isinstance(value, str) and value else value or {}
    except (ValueError, RecursionError):
        return {}
    return dict(held) if isinstance(held, Mapping) else {}


def _opposite(value: Any) -> bool | None:
    """Negates a flag, which a CSV holds as text. Returns None for an empty value; raises LookupError for others."""
    return None if value in (None, "") else not flag(value)


def _milliseconds(value: Any) -> str | None:
    """Converts milliseconds since 1970. Raises ValueError or OverflowError if the value is not such a number."""
    return (EPOCH + timedelta(milliseconds=int(value))).isoformat() if value else None


def _firebase_hash(record: Row, rounds: int, mem_cost: int, salt_separator: str) -> str | UnreadableValue | None:
    if not record.get("passwordHash"):
        return None
    try:
        key, salt, separator = (
            hashes.decode_base64(str(text or "").replace("-", "+").replace("_", "/").rstrip("="))
            for text in (record["passwordHash"], record.get("salt"), salt_separator)
        )
        return hashes.firebase(rounds, mem_cost, separator, salt, key)
    except hashes.UnknownHash as error:
        return UnreadableValue(str(error))


def _language(value: Any) -> str | None:
    """Returns `es` for `es-MX`, and None for a language that UserManager does not support."""
    language = str(value or "").replace("_", "-").partition("-")[0].lower()
    return language if language in dict(settings.LANGUAGES) else None


def _future(value: Any) -> str | None:
    """Returns a time in the future, and None for any other value."""
    try:
        moment = datetime.fromisoformat(str(value or ""))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.isoformat() if moment > datetime.now(UTC) else None
