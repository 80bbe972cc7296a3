"""What an event holds, as the panel says it."""

import ast
from dataclasses import fields
from pathlib import Path

from django.utils import translation

from accounts import audit
from accounts.admin import words
from accounts.transfer.storing import Tally

ROOT = Path(__file__).parents[2]


def test_what_an_event_holds_is_said_in_spanish() -> None:
    with translation.override("es"):
        assert words.details({"old": "user", "new": "support"}) == "antes: user · ahora: support"
        assert words.details({"reason": "Spam", "until": "2030-01-31T12:00:00+00:00"}).startswith(
            "motivo: Spam · hasta: "
        )


def test_whatever_is_recorded_has_a_word_in_the_panel() -> None:
    """By the names of what is given to audit.record(), and those of a tally, which come as one."""
    recorded = {field.name for field in fields(Tally)}
    for path in (file for app in ("accounts", "notifications") for file in (ROOT / app).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record":
                recorded |= {keyword.arg for keyword in call.keywords if keyword.arg}
    assert recorded - {"actor"} - words.UNTOLD <= words.LABELS.keys()
    assert words.LABELS.keys() | words.UNTOLD == set(audit.DATA_ORDER)
