"""The data of events, as the panel shows it."""

import ast
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from accounts.admin import formatting
from accounts.audit.kinds import DATA_ORDER
from accounts.errors import all_errors
from accounts.mfa import factors
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models.role import MfaPolicy
from accounts.transfer.bulk_insert import Tally

ROOT = Path(__file__).parents[2]


def test_the_data_of_an_event_is_shown_in_spanish() -> None:
    with translation.override("es"):
        assert formatting.event_details({"old": "user", "new": "support"}) == "antes: user · ahora: support"
        assert formatting.event_details({"reason": "Spam", "until": "2030-01-31T12:00:00+00:00"}).startswith(
            "motivo: Spam · hasta: "
        )


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"type": "totp"}, "tipo: Aplicación de autenticación"),
        ({"type": "passkey"}, "tipo: Clave de acceso"),
        (
            {"code": "invalid_second_factor", "method": "recovery_code"},
            "código: Segundo factor incorrecto · método: Código de recuperación",
        ),
        ({"mfa": "required"}, "segundo factor: obligatorio"),
        ({"enrol": True}, "debe configurar otro: sí"),
        ({"enrol": False}, "debe configurar otro: no"),
        ({"use": "encryption", "kid": "k1"}, "clave: k1 · uso: cifrado"),
        ({"fields": ["full_name", "locale"]}, "campos: full_name, locale"),
    ],
)
def test_values_that_are_no_names_are_translated(data: dict[str, Any], shown: str) -> None:
    with translation.override("es"):
        assert formatting.event_details(data) == shown


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("type", factors.NAMES.keys()),
        (
            "method",
            {
                SubmittedProof(code="1").method,
                SubmittedProof(recovery_code="1").method,
                SubmittedProof(passkey={}).method,
            },
        ),
        ("mfa", MfaPolicy.values),
        ("code", {error.code for error in all_errors()}),
    ],
)
def test_every_value_of_a_fixed_set_has_a_word(key: str, values: Iterable[str]) -> None:
    assert set(values) == formatting.VALUE_LABELS[key].keys()


def test_every_recorded_key_has_a_label() -> None:
    """Collects the keywords of all calls of audit.record(), and the fields of Tally, which are passed as one."""
    recorded = {field.name for field in fields(Tally)}
    for path in (file for app in ("accounts", "notifications") for file in (ROOT / app).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record":
                recorded |= {keyword.arg for keyword in call.keywords if keyword.arg}
    assert recorded - {"actor"} - formatting.HIDDEN <= formatting.LABELS.keys()
    assert formatting.LABELS.keys() | formatting.HIDDEN == set(DATA_ORDER)
