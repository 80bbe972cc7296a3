"""A user whose second factors are used and changed by several requests at the same time."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pyotp
from django.db import transaction

from accounts import enrolment, login, second_factor
from accounts.errors import AccountError
from accounts.login import SignIn
from accounts.mfa import attempts, pending_logins, proofs, recovery_codes
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import Passkey, PendingLogin, RecoveryCode, Session, TotpSecret, User
from tests import second_factors
from tests.autocommit.racers import Action
from tests.autocommit.scene import Scene

# Of races for one row, and of others: a use case that changes several rows takes longer.
ROUNDS = int(os.environ.get("RACE_ROUNDS", "40"))
FEW_ROUNDS = int(os.environ.get("RACE_ROUNDS", "8"))
EIGHT = 8


class Owner:
    """A user with an authenticator app, recovery codes and, if wanted, a passkey that can't be used."""

    def __init__(self, scene: Scene, *, has_passkey: bool = False) -> None:
        self.user = scene.person("olga")
        session, _refresh = login.open_session(self.user, proofs.PASSWORD)
        enrolling = enrolment.in_session(session)
        begun = enrolment.begin_totp(enrolling)
        self._app = pyotp.TOTP(begun.secret)
        enrolled = enrolment.confirm_totp(enrolling, begun.id, self.code())
        self.recovery_codes = enrolled.recovery_codes
        self.user.refresh_from_db()
        self._codes = list(self.user.recovery_codes.all())
        self._totp = TotpSecret.objects.get(user=self.user)
        self._totp.last_step = 0
        self._passkeys = [second_factors.passkey(self.user, str(self.user.pk))] if has_passkey else []
        self._values = User.objects.values().get(pk=self.user.pk)
        self.begin_anew()

    def code(self) -> str:
        return self._app.now()

    def begin_anew(self) -> None:
        """Ends what an earlier round left behind, and gives the user back what it took away, such as a used code."""
        with transaction.atomic():
            if not User.objects.filter(pk=self.user.pk).update(**self._values):
                User(**self._values).save(force_insert=True)
            for model in (Session, PendingLogin, TotpSecret, Passkey, RecoveryCode):
                model._default_manager.filter(user=self.user.pk).delete()
            TotpSecret.objects.bulk_create([self._totp])
            Passkey.objects.bulk_create(self._passkeys)
            RecoveryCode.objects.bulk_create(self._codes)
            attempts.reset(self.user)
        self.user = User.objects.select_related("role").get(pk=self.user.pk)

    def mfa_token(self) -> str:
        return pending_logins.begin(self.user, PendingLogin.Purpose.LOGIN)

    def session(self) -> Session:
        """Returns a session with both factors."""
        session, _refresh = login.open_session(self.user, second_factors.WITH_CODE)
        return session

    def finishing(self, mfa_token: str, **proof: Any) -> Action:
        return partial(second_factor.finish_login, mfa_token, SubmittedProof(**proof))

    def codes_left(self) -> int:
        return recovery_codes.number_left(self.user)


def won(results: Sequence[Any]) -> list[Any]:
    """Returns the results that are no errors."""
    return [result for result in results if not isinstance(result, AccountError)]


def rejections(results: Sequence[Any]) -> set[str]:
    """Returns the codes of the errors."""
    return {result.code for result in results if isinstance(result, AccountError)}


def living(user: User) -> list[UUID]:
    """Returns the ids of the user's active sessions."""
    return list(Session.objects.active().filter(user=user).values_list("pk", flat=True))


def sign_in(result: Any) -> SignIn:
    assert isinstance(result, SignIn), result
    return result
