"""The options with which a browser creates or uses a passkey, as `parseCreationOptionsFromJSON()` reads them."""

from base64 import urlsafe_b64encode
from typing import Any

from django.conf import settings

from accounts.mfa import challenges, relying_party
from accounts.mfa.challenges import Scope
from accounts.models import Passkey, Session, User

ALGORITHMS = (-8, -7, -257)  # EdDSA, ES256, RS256
Options = dict[str, Any]


def for_login() -> Options:
    """Returns the options of a login with a passkey alone. They are alike for all users, and name no passkey."""
    return _request(challenges.ANONYMOUS, "required")


def for_second_factor(user: User, digest: bytes) -> Options:
    """Returns the options of the second factor of a pending login, which the digest of its token identifies."""
    return _of_user(challenges.of_pending_login(digest), user)


def for_step_up(session: Session) -> Options:
    """Returns the options of a step-up with a passkey of the session's user."""
    return _of_user(challenges.of_step_up(session), session.user)


def for_registration(user: User, scope: Scope) -> Options:
    """Returns the options of a new passkey. An authenticator that has a passkey of the user already creates none."""
    return {
        "rp": {"id": relying_party.domain(), "name": relying_party.name()},
        "user": {"id": _encoded(user.pk.bytes), "name": user.email, "displayName": user.full_name or user.email},
        "challenge": _encoded(challenges.create(scope)),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": _timeout(),
        "excludeCredentials": _descriptors(user),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def _of_user(scope: Scope, user: User) -> Options:
    return _request(scope, "discouraged") | {"allowCredentials": _descriptors(user)}


def _request(scope: Scope, user_verification: str) -> Options:
    return {
        "challenge": _encoded(challenges.create(scope)),
        "timeout": _timeout(),
        "rpId": relying_party.domain(),
        "userVerification": user_verification,
    }


def _descriptors(user: User) -> list[Options]:
    rows = Passkey.objects.filter(user=user).order_by("id")
    return [
        {"type": "public-key", "id": _encoded(bytes(row.credential_id)), "transports": row.transports} for row in rows
    ]


def _timeout() -> int:
    return int(settings.MFA_LOGIN_LIFETIME.total_seconds() * 1000)


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode("ascii").rstrip("=")
