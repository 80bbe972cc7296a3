"""What a client submits to prove a second factor, and how each kind is checked."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from accounts.errors import InvalidSecondFactor
from accounts.mfa import passkeys, recovery_codes, totp
from accounts.mfa.challenges import Scope
from accounts.mfa.proofs import Proof
from accounts.models import RecoveryCode, TotpSecret, User

MAX_CODE_LENGTH = 8  # digits: some authenticator apps show eight, those enrolled here six


class SubmittedProof(NamedTuple):
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


def from_text(text: str) -> SubmittedProof:
    """Returns what a user typed into a field that takes both kinds of codes. A recovery code is longer."""
    compact = text.replace(" ", "").replace("-", "")
    return SubmittedProof(recovery_code=text) if len(compact) > MAX_CODE_LENGTH else SubmittedProof(code=text)


def read_passkey(text: str) -> dict[str, Any]:
    """Returns the answer of a passkey, which a form sends as JSON. It is empty if the text is no JSON object."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def check(user: User, submitted: SubmittedProof, scope: Scope) -> Proof:
    """Returns the proof, which is not used up yet. Raises InvalidSecondFactor.

    `scope` is the one for which the challenge of a passkey must have been made.
    """
    if submitted.code is not None:
        proof = totp.find_proof(user, submitted.code)
    elif submitted.recovery_code is not None:
        proof = recovery_codes.find_proof(user, submitted.recovery_code)
    else:
        proof = _check_passkey(user, submitted.passkey or {}, scope)
    if proof is None:
        raise InvalidSecondFactor
    return proof


def _check_passkey(user: User, answer: Mapping[str, Any], scope: Scope) -> Proof | None:
    passkey = passkeys.find(answer)
    return passkeys.check_assertion(passkey, answer, scope) if passkey and passkey.user_id == user.pk else None


def available_methods(user: User) -> list[str]:
    """Returns the methods that the user can use."""
    found = {
        "totp": TotpSecret.objects.filter(user=user, confirmed_at__isnull=False),
        "passkey": user.passkeys.all(),
        "recovery_code": RecoveryCode.objects.filter(user=user, used_at=None),
    }
    return [name for name, rows in found.items() if rows.exists()]
