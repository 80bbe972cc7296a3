"""Runs use cases of one user at the same time, each in a thread with a database connection of its own."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pyotp
from django.db import connections

from accounts import enrolment, login, second_factor
from accounts.errors import AccountError
from accounts.login import SignIn
from accounts.mfa import attempts, pending_logins, proofs, recovery_codes
from accounts.mfa.given import Given
from accounts.models import PendingLogin, Session, TotpSecret, User
from tests.autocommit.scene import Scene

ROUNDS = int(os.environ.get("RACE_ROUNDS", "8"))  # of each race; RACE_ROUNDS=40 is a thorough run
EIGHT = 8
MOST = 16
Action = Callable[[], Any]


class Track:
    """Threads that keep their connections: opening one takes longer than a race."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST)

    def race(self, actions: Sequence[Action]) -> list[Any]:
        """Starts all actions together. Returns the result of each, or its AccountError. Raises any other error."""
        barrier = threading.Barrier(len(actions), timeout=60)

        def run(action: Action) -> Any:
            barrier.wait()
            try:
                return action()
            except AccountError as error:
                return error

        return list(self._pool.map(run, actions))

    def close(self) -> None:
        barrier = threading.Barrier(MOST, timeout=60)

        def close(_number: int) -> None:
            barrier.wait()  # so that each thread runs it
            connections.close_all()

        list(self._pool.map(close, range(MOST)))
        self._pool.shutdown()


@contextmanager
def track() -> Iterator[Track]:
    """Yields threads for races, and closes their connections."""
    opened = Track()
    try:
        yield opened
    finally:
        opened.close()


class Owner:
    """A user with an authenticator app and recovery codes."""

    def __init__(self, scene: Scene) -> None:
        self.user = scene.person("olga")
        session, _refresh = login.open_session(self.user, proofs.PASSWORD)
        enrolling = enrolment.in_session(session)
        begun = enrolment.begin_totp(enrolling)
        self.app = pyotp.TOTP(begun.secret)
        enrolled = enrolment.confirm_totp(enrolling, begun.id, self.code())
        self.recovery_codes = enrolled.recovery_codes
        self.begin_anew()

    def code(self) -> str:
        return self.app.now()

    def begin_anew(self) -> None:
        """Ends what an earlier round left behind: sessions, pending logins, used codes and counted attempts."""
        Session.objects.filter(user=self.user).delete()
        PendingLogin.objects.filter(user=self.user).delete()
        TotpSecret.objects.filter(user=self.user).update(last_step=0)
        self.user.recovery_codes.update(used_at=None)
        attempts.forget(self.user)
        self.user.refresh_from_db()

    def mfa_token(self) -> str:
        return pending_logins.begin(self.user, PendingLogin.Purpose.LOGIN)

    def session(self) -> Session:
        """Returns a session with both factors."""
        session, _refresh = login.open_session(self.user, proofs.Proof(("pwd", "otp", "mfa")))
        return session

    def finishing(self, mfa_token: str, **proof: Any) -> Action:
        return lambda: second_factor.finish_login(mfa_token, Given(**proof))

    def codes_left(self) -> int:
        return recovery_codes.number_left(self.user)


def won(results: Sequence[Any]) -> list[Any]:
    """Returns the results that are no errors."""
    return [result for result in results if not isinstance(result, AccountError)]


def refusals(results: Sequence[Any]) -> set[str]:
    """Returns the codes of the errors."""
    return {result.code for result in results if isinstance(result, AccountError)}


def living(user: User) -> list[UUID]:
    """Returns the ids of the user's active sessions."""
    return list(Session.objects.active().filter(user=user).values_list("pk", flat=True))


def sign_in(result: Any) -> SignIn:
    assert isinstance(result, SignIn), result
    return result
