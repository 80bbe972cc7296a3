"""Adds a passkey as second factor, in a session or in a pending login that has to enrol."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import enrolment
from accounts.enrolment import Enrolled, Enrolling
from accounts.errors import Conflict, InvalidInput
from accounts.mfa import challenges, factors, passkey_options, passkeys
from accounts.mfa.challenges import Purpose, Scope
from accounts.mfa.passkeys import REGISTERED
from accounts.mfa.proofs import Proof
from accounts.models import Passkey

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
    registration = passkeys.check_registration(enrolling.user, answer, _scope(enrolling), name=name or _("Passkey"))
    passkey = registration.passkey
    with transaction.atomic():
        user = enrolment.lock(enrolling)
        if not challenges.spend(registration.challenge):
            raise InvalidInput("passkey", "invalid", _("This passkey was not accepted."))
        _store(passkey)
        return enrolment.finish(enrolling, user, factors.of_passkey(passkey), Proof(REGISTERED, passkey.pk))


def _store(passkey: Passkey) -> None:
    """Inserts the passkey of a locked user. Raises Conflict."""
    if Passkey.objects.filter(user=passkey.user_id).count() >= MAX_PER_USER:
        raise Conflict(_("You have too many passkeys. Please remove one first."))
    try:
        with transaction.atomic():
            passkey.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("This passkey is registered already.")) from error


def _scope(enrolling: Enrolling) -> Scope:
    """Returns the scope of a challenge for this session or this pending login."""
    return Scope(Purpose.REGISTRATION, enrolling.key)
