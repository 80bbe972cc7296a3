"""Adds a passkey as second factor, in a session or in a pending login that has to enrol."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import enrolment
from accounts.enrolment import Enrolled, Enrolling
from accounts.errors import Conflict, InvalidInput
from accounts.mfa import challenges, factors, passkey_options, passkeys
from accounts.mfa.challenges import ChallengePurpose, Scope
from accounts.mfa.passkeys import REGISTERED, Registration
from accounts.mfa.proofs import Proof
from accounts.models import Passkey, User

MAX_PER_USER = 10


def begin(enrolling: Enrolling, *, emailed_token: str = "") -> dict[str, Any]:
    """Returns the options with which a browser creates a passkey. Raises the errors of enrolment.require_allowed()."""
    enrolment.require_allowed(enrolling, emailed_token)
    return passkey_options.for_registration(enrolling.user, _scope(enrolling))


def finish(enrolling: Enrolling, answer: Mapping[str, Any], *, name: str = "") -> Enrolled:
    """Stores the passkey that the browser has created.

    Raises InvalidInput for a wrong answer, Conflict for a passkey that is registered already and for a user who has
    MAX_PER_USER, and the errors of enrolment.lock().
    """
    registration = _check(enrolling, answer, name)
    passkey = registration.passkey
    with transaction.atomic():
        user = _store(enrolling, registration)
        return enrolment.finish(enrolling, user, factors.of_passkey(passkey), Proof(REGISTERED, passkey.pk))


def finish_without_login(enrolling: Enrolling, answer: Mapping[str, Any], *, name: str = "") -> list[str]:
    """Does what finish() does, but opens no session. Returns the recovery codes."""
    registration = _check(enrolling, answer, name)
    with transaction.atomic():
        user = _store(enrolling, registration)
        return enrolment.finish_without_login(enrolling, user, factors.of_passkey(registration.passkey))


def _check(enrolling: Enrolling, answer: Mapping[str, Any], name: str) -> Registration:
    name = name or factors.default_name(enrolling.user, "passkey")
    return passkeys.check_registration(enrolling.user, answer, _scope(enrolling), name=name)


def _store(enrolling: Enrolling, registration: Registration) -> User:
    """Spends the challenge and inserts the passkey. Returns the locked user."""
    user = enrolment.lock(enrolling)
    if not challenges.spend(registration.challenge):
        raise InvalidInput("passkey", "invalid", _("This passkey was not accepted."))
    if Passkey.objects.filter(user=user).count() >= MAX_PER_USER:
        raise Conflict(_("You have too many passkeys. Please remove one first."))
    try:
        with transaction.atomic():
            registration.passkey.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("This passkey is registered already.")) from error
    return user


def _scope(enrolling: Enrolling) -> Scope:
    """Returns the scope of a challenge for this session or this pending login."""
    return Scope(ChallengePurpose.REGISTRATION, enrolling.key)
