"""The data of events, as the panel shows it."""

import ast
from dataclasses import fields
from pathlib import Path

from django.utils import translation

from accounts.admin import formatting
from accounts.audit.kinds import DATA_ORDER
from accounts.transfer.bulk_insert import Tally

ROOT = Path(__file__).parents[2]


def test_the_data_of_an_event_is_shown_in_spanish() -> None:
    with translation.override("es"):
        assert formatting.event_details({"old": "user", "new": "support"}) == "antes: user · ahora: support"
        assert formatting.event_details({"reason": "Spam", "until": "2030-01-31T12:00:00+00:00"}).startswith(
            "motivo: Spam · hasta: "
        )


def test_every_recorded_key_has_a_label() -> None:
    """Collects the keywords of all calls of audit.record(), and the fields of Tally, which are passed as one."""
    recorded = {field.name for field in fields(Tally)}
    for path in (file for app in ("accounts", "notifications") for file in (ROOT / app).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record":
                recorded |= {keyword.arg for keyword in call.keywords if keyword.arg}
    assert recorded - {"actor"} - formatting.HIDDEN <= formatting.LABELS.keys()
    assert formatting.LABELS.keys() | formatting.HIDDEN == set(DATA_ORDER)
