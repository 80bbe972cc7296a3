"""Checks what an authenticator answers: registrations of passkeys, and logins with them.

No other module imports py_webauthn, which takes 60 ms to load. Here are also the checks that it leaves to us.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import (
    base64url_to_bytes,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_attestation_object,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import AttestationFormat, CredentialDeviceType

from accounts.errors import InvalidInput, InvalidSecondFactor, PasskeyCounterFell
from accounts.mfa import challenges, relying_party
from accounts.mfa.challenges import ChallengePurpose, Scope
from accounts.mfa.proofs import Proof
from accounts.models import Passkey, User
from accounts.models.identifiers import new_id

MIN_RSA_BITS = 2048
MAX_CREDENTIAL_ID_BYTES = 1023
MAX_KEY_BYTES = 2048
TRANSPORTS = ("ble", "hybrid", "internal", "nfc", "smart-card", "usb")
REGISTERED = ("pop", "user", "mfa")  # what a registration proves
Answer = Mapping[str, Any]

# What py_webauthn raises for malformed answers: its own exceptions, and those of its parsers.
_MALFORMED = (
    *(WebAuthnException, ValueError, TypeError, KeyError),
    *(IndexError, AttributeError, OverflowError, RecursionError),
)


class Registration(NamedTuple):
    """A passkey that is not stored yet, and the challenge that its authenticator signed."""

    passkey: Passkey
    challenge: bytes


class _Assertion(NamedTuple):
    challenge: bytes
    sign_count: int
    is_synced: bool
    is_user_verified: bool


def check_registration(user: User, answer: Answer, scope: Scope, *, name: str) -> Registration:
    """Returns the passkey that an authenticator has created for the user. Raises InvalidInput for any other answer."""
    try:
        return _registration(user, dict(answer), scope, name)
    except _MALFORMED as error:
        raise InvalidInput("passkey", "invalid", _("This passkey was not accepted.")) from error


def find(answer: Answer) -> Passkey | None:
    """Returns the passkey that the answer names, with its user and their role. Nothing is checked yet."""
    try:
        credential_id = base64url_to_bytes(answer["rawId"])
    except _MALFORMED:
        return None
    return Passkey.objects.select_related("user__role").filter(credential_id=credential_id).first()


def check_assertion(passkey: Passkey, answer: Answer, scope: Scope) -> Proof:
    """Returns the proof, which is not used up yet. Raises InvalidSecondFactor, and PasskeyCounterFell for an answer
    that is right except for its counter.

    A login without a password requires that the authenticator verified the user, and that the answer names the user.
    """
    try:
        assertion = _assertion(passkey, dict(answer), scope)
    except _MALFORMED as error:
        raise InvalidSecondFactor from error
    if challenges.is_spent(assertion.challenge):
        raise InvalidSecondFactor
    if (assertion.sign_count or passkey.sign_count) and assertion.sign_count <= passkey.sign_count:
        raise PasskeyCounterFell(passkey.pk)
    amr = ("pop", "user", "mfa") if assertion.is_user_verified else ("pop", "mfa")
    return Proof(amr, passkey.pk, partial(_use_up, passkey, assertion))


def _use_up(passkey: Passkey, assertion: _Assertion) -> None:
    """Spends the challenge and stores the counter, each with one statement. Raises InvalidSecondFactor if another
    request was faster, and PasskeyCounterFell."""
    if not challenges.spend(assertion.challenge):
        raise InvalidSecondFactor
    lower = Q(sign_count__lt=assertion.sign_count) if assertion.sign_count else Q(sign_count=0)
    values = {"sign_count": assertion.sign_count, "is_synced": assertion.is_synced, "last_used_at": timezone.now()}
    if not Passkey.objects.filter(lower, pk=passkey.pk).update(**values):
        was_removed = not Passkey.objects.filter(pk=passkey.pk).exists()
        raise InvalidSecondFactor if was_removed else PasskeyCounterFell(passkey.pk)


def _registration(user: User, answer: dict[str, Any], scope: Scope, name: str) -> Registration:
    challenge = _challenge(answer, scope)
    _require_plain_attestation(answer)
    verified = verify_registration_response(
        credential=answer,
        expected_challenge=challenge,
        expected_rp_id=relying_party.domain(),
        expected_origin=relying_party.origins(),
        require_user_verification=True,
    )
    _require(verified.credential_id == base64url_to_bytes(answer["rawId"]), "another id than the attested one")
    _require(len(verified.credential_id) <= MAX_CREDENTIAL_ID_BYTES, "an id that is too long")
    _require_strong_key(verified.credential_public_key)
    passkey = Passkey(
        id=new_id(),
        user=user,
        name=name,
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=_transports(answer),
        may_sync=verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        is_synced=verified.credential_backed_up,
        last_used_at=timezone.now(),
    )
    return Registration(passkey, challenge)


def _assertion(passkey: Passkey, answer: dict[str, Any], scope: Scope) -> _Assertion:
    challenge = _challenge(answer, scope)
    is_alone = scope.purpose == ChallengePurpose.LOGIN
    verified = verify_authentication_response(
        credential=answer,
        expected_challenge=challenge,
        expected_rp_id=relying_party.domain(),
        expected_origin=relying_party.origins(),
        credential_public_key=bytes(passkey.public_key),
        credential_current_sign_count=0,  # check() compares it, and records an answer whose counter fell
        require_user_verification=is_alone,
    )
    handle = answer["response"].get("userHandle")
    if handle is not None or is_alone:
        _require(base64url_to_bytes(handle) == passkey.user_id.bytes, "the handle of another user")
    may_sync = verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE
    _require(may_sync == passkey.may_sync, "another flag BE than at the registration")
    return _Assertion(challenge, verified.new_sign_count, verified.credential_backed_up, verified.user_verified)


def _challenge(answer: dict[str, Any], scope: Scope) -> bytes:
    """Returns the challenge in the client data. Raises ValueError for a challenge of another scope, and for a page in a
    frame of another origin."""
    client_data = json.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
    challenge = base64url_to_bytes(client_data["challenge"])
    _require(challenges.is_valid(challenge, scope), "a challenge of another scope")
    is_framed = client_data.get("crossOrigin") not in {None, False} or client_data.get("topOrigin") is not None
    _require(not is_framed, "a page in a frame of another origin")
    return challenge


def _require_plain_attestation(answer: dict[str, Any]) -> None:
    """Raises ValueError for an attestation other than `none` and `packed` with the passkey's own signature. Makers sign
    others with certificates, which are not checked here."""
    attestation = parse_attestation_object(base64url_to_bytes(answer["response"]["attestationObject"]))
    is_self_signed = attestation.fmt == AttestationFormat.PACKED and attestation.att_stmt.x5c is None
    _require(attestation.fmt == AttestationFormat.NONE or is_self_signed, "an attestation of its maker")


def _require_strong_key(encoded: bytes) -> None:
    """Raises ValueError for a key that is weak or not on its curve. py_webauthn stores it unread, and would fail at the
    first login."""
    decoded = decode_credential_public_key(encoded)
    key = decoded_public_key_to_cryptography(decoded)
    is_strong = (
        (isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) and decoded.alg == -7)
        or (isinstance(key, Ed25519PublicKey) and decoded.alg == -8)
        or (isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS and decoded.alg == -257)
    )
    _require(is_strong and len(encoded) <= MAX_KEY_BYTES, "a weak or unknown key")


def _transports(answer: dict[str, Any]) -> list[str]:
    """Returns how the browser reaches the authenticator. It is a hint for the options of later logins."""
    given = answer["response"].get("transports")
    return [name for name in TRANSPORTS if name in given] if isinstance(given, list) else []


def _require(is_right: bool, what_is_wrong: str) -> None:
    if not is_right:
        raise ValueError(what_is_wrong)
