"""Use cases that lock rows of one user run at once without a deadlock, in any combination."""

import time
from collections.abc import Callable
from functools import partial
from itertools import combinations
from random import Random

import pyotp
import pytest
from django.db import transaction
from pytest_django import Settings

from accounts import enrolment, factor_changes, login, one_time_tokens, passwords, second_factor, sessions, users
from accounts.mfa.proofs import Proof
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import Session, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.autocommit.racers import Action, Track
from tests.autocommit.races import Owner, living, won
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
OF_EACH = 4  # of the two use cases of a combination
ALL_AT_ONCE = 15  # rounds
DELAY = 0.3  # seconds


class Cast:
    """The user of all use cases, and the administrator."""

    def __init__(self, scene: Scene) -> None:
        self.olga = Owner(scene)
        self.root = scene.root

    @property
    def user(self) -> User:
        return self.olga.user

    def begin_anew(self) -> None:
        self.olga.begin_anew()


def finishing(cast: Cast, number: int) -> Action:
    return cast.olga.finishing(cast.olga.mfa_token(), recovery_code=cast.olga.recovery_codes[number])


def finishing_with_code(cast: Cast, number: int) -> Action:
    return cast.olga.finishing(cast.olga.mfa_token(), code=cast.olga.code())


def failing(cast: Cast, number: int) -> Action:
    return cast.olga.finishing(cast.olga.mfa_token(), code="wrong")


def beginning(cast: Cast, number: int) -> Action:
    return partial(login.begin_second_step_if_needed, cast.user)


def stepping_up(cast: Cast, number: int) -> Action:
    return partial(
        second_factor.step_up, cast.olga.session(), SubmittedProof(recovery_code=cast.olga.recovery_codes[number])
    )


def confirming(cast: Cast, number: int) -> Action:
    enrolling = enrolment.in_session(cast.olga.session())
    begun = enrolment.begin_totp(enrolling)
    return partial(enrolment.confirm_totp, enrolling, begun.id, pyotp.TOTP(begun.secret).now())


def resetting(cast: Cast, number: int) -> Action:
    with transaction.atomic():
        token = one_time_tokens.issue(cast.user, Purpose.PASSWORD_RESET, request=new_id(), email=cast.user.email)
    return partial(passwords.reset, token, OTHER_PASSWORD)


def suspending(cast: Cast, number: int) -> Action:
    return partial(users.suspend, cast.user, actor=cast.root)


def unlocking(cast: Cast, number: int) -> Action:
    return partial(users.unlock, cast.user, actor=cast.root)


def replacing_codes(cast: Cast, number: int) -> Action:
    return partial(factor_changes.make_recovery_codes, cast.user)


def refreshing(cast: Cast, number: int) -> Action:
    return partial(login.refresh, sessions._refresh_token(cast.olga.session().pk, 0))


def logging_out(cast: Cast, number: int) -> Action:
    return partial(login.log_out_everywhere, cast.user)


USE_CASES: list[Callable[[Cast, int], Action]] = [
    *(finishing, finishing_with_code, failing, beginning, stepping_up, confirming),
    *(resetting, suspending, unlocking, replacing_codes, refreshing, logging_out),
]


@pytest.fixture
def cast(scene: Scene, settings: Settings) -> Cast:
    settings.RATE_SECOND_FACTOR = settings.RATE_SECOND_FACTOR._replace(limit=1000)
    return Cast(scene)


def test_any_two_use_cases_run_at_once(racers: Track, cast: Cast) -> None:
    for pair in combinations(USE_CASES, 2):
        cast.begin_anew()
        racers.race([use_case(cast, number) for number in range(OF_EACH) for use_case in pair])


def test_all_use_cases_run_at_once(racers: Track, cast: Cast) -> None:
    for seed in range(ALL_AT_ONCE):
        cast.begin_anew()
        actions = [use_case(cast, seed % 10) for use_case in USE_CASES]
        Random(seed).shuffle(actions)
        racers.race(actions)


def late(action: Action) -> object:
    """Begins while a slow enrolment has ended the other sessions, and not yet renewed its own."""
    time.sleep(DELAY)
    return action()


@pytest.fixture
def slow_enrolments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comes before `racers`, which may be forks."""
    renew = sessions.record_step_up

    def wait_and_renew(session: Session, proof: Proof) -> str:
        time.sleep(2 * DELAY)
        return renew(session, proof)

    monkeypatch.setattr(sessions, "record_step_up", wait_and_renew)


def test_logging_out_everywhere_waits_for_a_new_factor(slow_enrolments: None, racers: Track, cast: Cast) -> None:
    """Both end the same sessions: the new factor its own last, although it is the oldest."""
    enrolling = confirming(cast, 0)
    for _session in range(OF_EACH):
        cast.olga.session()
    results = racers.race([enrolling, partial(late, logging_out(cast, 0))])
    assert len(won(results)) == 2
    assert not living(cast.user)
