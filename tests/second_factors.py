"""Enrols second factors for tests."""

import time

import pyotp
from rest_framework.test import APIClient

from accounts import enrolment, login, passkey_registration
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.mfa.totp import STEP
from accounts.models import Passkey, TotpSecret, User
from tests.authenticator import Authenticator

WITH_CODE = proofs.Proof(("pwd", "otp", "mfa"))


class Phone:
    """An authenticator app, and the recovery codes of its owner.

    Three codes are accepted at any time, each once and in order: those of the step before, the present and the next
    one. `first` is the distance of the first code to the present step.
    """

    def __init__(self, secret: str, *, first: int = -1) -> None:
        if first < 0:  # the code would be too old if the step ended before it is sent
            _wait_for_the_next_step(within=3)
        self._app = pyotp.TOTP(secret)
        self._next = int(time.time() // STEP.total_seconds()) + first
        self.recovery_codes: list[str] = []

    def code(self) -> str:
        """Returns a code of a later step than all before."""
        self._next += 1
        return self._app.generate_otp(self._next - 1)


def _wait_for_the_next_step(*, within: float) -> None:
    """Waits for the next step if the present one ends within `within` seconds."""
    left = STEP.total_seconds() - time.time() % STEP.total_seconds()
    if left < within:
        time.sleep(left)


def enrol(user: User) -> Phone:
    """Adds an authenticator app, in a session that ends. Two codes of it can be used without waiting."""
    session, _refresh = login.open_session(user, proofs.PASSWORD)
    enrolling = enrolment.in_session(session)
    begun = enrolment.begin_totp(enrolling)
    enrolled = enrolment.confirm_totp(enrolling, begun.id, Phone(begun.secret, first=0).code())
    TotpSecret.objects.filter(pk=begun.id).update(last_step=0)  # so that the code which confirmed is as good as new
    phone = Phone(begun.secret, first=0)
    phone.recovery_codes = enrolled.recovery_codes
    session.delete()
    user.refresh_from_db()
    return phone


def signed_in(user: User, proof: proofs.Proof = WITH_CODE) -> APIClient:
    """Returns a client in a new session of a user who has proven this."""
    client = APIClient()
    session, _refresh = login.open_session(user, proof)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    return client


def passkey(user: User, name: str = "Key") -> Passkey:
    """Stores a passkey that can't be used."""
    values = {"public_key": b"x", "may_sync": True, "is_synced": True}
    return Passkey.objects.create(user=user, name=name, credential_id=name.encode(), **values)


def add_passkey(user: User, authenticator: Authenticator | None = None) -> Authenticator:
    """Adds a passkey, in a session that ends. Returns its authenticator."""
    session, _refresh = login.open_session(user, WITH_CODE)
    enrolling = enrolment.in_session(session)
    authenticator = authenticator or Authenticator()
    answer = authenticator.create(passkey_registration.begin(enrolling))
    passkey_registration.finish(enrolling, answer)
    session.delete()
    user.refresh_from_db()
    return authenticator
