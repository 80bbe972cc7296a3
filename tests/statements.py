"""Names SQL statements by their verb and their table."""

import re

TABLES = {
    "accounts_session": "session",
    "accounts_user": "user",
    "accounts_role": "role",
    "accounts_ratebucket": "limit",
    "accounts_auditchain": "chain",
    "accounts_auditevent": "event",
    "accounts_onetimetoken": "token",
    "accounts_pendinglogin": "pending login",
    "notifications_outboxmail": "email",
    "accounts_totpsecret": "app",
    "accounts_recoverycode": "recovery code",
    "accounts_passkey": "passkey",
}


def named(sql: str) -> str:
    """Returns the verb of a statement, and the first table that it names."""
    verb = sql.split(maxsplit=1)[0]
    found = re.search(r"\w+_\w+", re.split(r"\bFROM\b|\bINTO\b|^\s*UPDATE\b", sql, maxsplit=1)[-1])
    table = TABLES.get(found[0], found[0]) if found else ""
    if table == "limit" and verb in {"UPDATE", "DELETE"}:
        verb = "CHANGE"
    return f"{verb} {table}" if table and verb not in {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"} else verb
