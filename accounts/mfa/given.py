"""What a client gives to prove a second factor, and how each kind is checked."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from accounts.errors import InvalidSecondFactor
from accounts.mfa import passkeys, recovery_codes, totp
from accounts.mfa.challenges import Scope
from accounts.mfa.proofs import Proof
from accounts.models import RecoveryCode, TotpSecret, User

LONGEST_CODE = 8  # digits that authenticator apps show; ours show six


class Given(NamedTuple):
    """Exactly one of a code of the authenticator app, a recovery code and the answer of a passkey."""

    code: str | None = None
    recovery_code: str | None = None
    passkey: Mapping[str, Any] | None = None

    @property
    def method(self) -> str:
        """Returns the name of the method in audit events and in `methods`."""
        if self.passkey is not None:
            return "passkey"
        return "totp" if self.code is not None else "recovery_code"


def from_text(text: str) -> Given:
    """Returns what a user typed into a field that takes both kinds of codes. A recovery code is longer."""
    compact = text.replace(" ", "").replace("-", "")
    return Given(recovery_code=text) if len(compact) > LONGEST_CODE else Given(code=text)


def read_passkey(text: str) -> dict[str, Any]:
    """Returns the answer of a passkey, which a form sends as JSON. It is empty if the text is no JSON object."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def check(user: User, given: Given, scope: Scope) -> Proof:
    """Returns the proof, which is not used up yet. Raises InvalidSecondFactor.

    `scope` is the one for which the challenge of a passkey must have been made.
    """
    if given.code is not None:
        proof = totp.check(user, given.code)
    elif given.recovery_code is not None:
        proof = recovery_codes.check(user, given.recovery_code)
    else:
        proof = _check_passkey(user, given.passkey or {}, scope)
    if proof is None:
        raise InvalidSecondFactor
    return proof


def _check_passkey(user: User, answer: Mapping[str, Any], scope: Scope) -> Proof | None:
    passkey = passkeys.find(answer)
    return passkeys.check(passkey, answer, scope) if passkey and passkey.user_id == user.pk else None


def methods(user: User) -> list[str]:
    """Returns the methods that the user can use."""
    found = {
        "totp": TotpSecret.objects.filter(user=user, confirmed_at__isnull=False),
        "passkey": user.passkeys.all(),
        "recovery_code": RecoveryCode.objects.filter(user=user, used_at=None),
    }
    return [name for name, rows in found.items() if rows.exists()]
