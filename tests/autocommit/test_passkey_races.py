"""Of requests that use one challenge or one counter of a passkey at once, exactly one succeeds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from accounts import enrolment, passkey_login, passkey_registration
from accounts.errors import InvalidSecondFactor, PasskeyCounterFell
from accounts.mfa import challenges, passkeys, pending_logins
from accounts.models import AuditEvent, Passkey, PendingLogin, RecoveryCode, Session, User
from tests.authenticator import Authenticator
from tests.autocommit.racers import Action, Track
from tests.autocommit.races import EIGHT, FEW_ROUNDS, ROUNDS, living, rejections, sign_in, won
from tests.autocommit.scene import Scene
from tests.second_factors import add_passkey

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture(autouse=True)
def _no_limits(settings: Settings) -> None:
    settings.RATE_LIMITS = False


@pytest.fixture
def authenticator(scene: Scene) -> Authenticator:
    return add_passkey(scene.ana)


def logging_in(authenticator: Authenticator) -> Action:
    return partial(passkey_login.finish, authenticator.get(passkey_login.begin()))


def registering(user: User, authenticators: list[Authenticator]) -> list[Action]:
    """Returns an answer of each authenticator to a challenge of its own, for one pending login of the user."""
    enrolling = enrolment.in_pending_login(pending_logins.begin(user, PendingLogin.Purpose.ENROLMENT))
    answers = [one.create(passkey_registration.begin(enrolling)) for one in authenticators]
    return [partial(passkey_registration.finish, enrolling, answer) for answer in answers]


def end_sessions(*users: User) -> None:
    Session.objects.filter(user__in=users).delete()


def forget_passkeys(*users: User) -> None:
    """Takes away what an earlier round gave the users."""
    end_sessions(*users)
    Passkey.objects.filter(user__in=users).delete()
    RecoveryCode.objects.filter(user__in=users).delete()
    User.objects.filter(pk__in=[user.pk for user in users]).update(mfa_enabled=False)


def test_one_answer_opens_one_session(racers: Track, scene: Scene, authenticator: Authenticator) -> None:
    for _round in range(ROUNDS):
        end_sessions(scene.ana)
        results = racers.race([logging_in(authenticator)] * EIGHT)
        [winner] = won(results)
        assert living(scene.ana) == [sign_in(winner).session.pk]
        assert rejections(results) == {"invalid_credentials"}


def test_one_counter_opens_one_session(racers: Track, scene: Scene, authenticator: Authenticator) -> None:
    """As if each client had a copy of the passkey."""
    for number in range(ROUNDS):
        end_sessions(scene.ana)
        authenticator.counter = number + 1
        results = racers.race([logging_in(authenticator) for _client in range(EIGHT)])
        [winner] = won(results)
        assert living(scene.ana) == [sign_in(winner).session.pk]
        assert rejections(results) == {"invalid_credentials"}
    fallen = AuditEvent.objects.filter(kind="passkey:counter_fell", user_id=scene.ana.pk)
    assert fallen.count() == ROUNDS * (EIGHT - 1)


def test_one_pending_login_adds_one_passkey(racers: Track, scene: Scene) -> None:
    ana, authenticators = scene.ana, [Authenticator() for _client in range(EIGHT)]
    for number in range(FEW_ROUNDS):
        forget_passkeys(ana)
        actions = registering(ana, authenticators)
        results = racers.race(actions[:1] * EIGHT if number % 2 else actions)
        [winner] = won(results)
        assert living(ana) == [winner.sign_in.session.pk]
        assert rejections(results) == {"invalid_token"}
        assert [passkey.pk for passkey in ana.passkeys.all()] == [winner.factor.id]
        assert ana.recovery_codes.count() == len(winner.recovery_codes) == 10


def test_one_credential_is_added_to_one_user(racers: Track, scene: Scene) -> None:
    authenticator, people = Authenticator(), [scene.person(f"user{number}") for number in range(EIGHT)]
    for _round in range(FEW_ROUNDS):
        forget_passkeys(*people)
        results = racers.race([action for user in people for action in registering(user, [authenticator])])
        assert len(won(results)) == 1
        assert rejections(results) == {"conflict"}
        assert Passkey.objects.filter(user__in=people).count() == 1


@pytest.mark.parametrize(
    ("number", "between", "error"),
    [
        (0, lambda passkey: None, InvalidSecondFactor),
        (1, lambda passkey: None, PasskeyCounterFell),
        (1, lambda passkey: passkey.delete(), InvalidSecondFactor),
    ],
    ids=["the challenge was spent", "the counter grew", "the passkey was removed"],
)
def test_what_changed_since_the_check_is_seen(
    scene: Scene,
    authenticator: Authenticator,
    number: int,
    between: Callable[[Passkey], Any],
    error: type[InvalidSecondFactor],
) -> None:
    """Both requests have checked their answer before one of them uses it up."""
    authenticator.counter = 5
    passkey = Passkey.objects.get(user=scene.ana)
    answers = [authenticator.get(passkey_login.begin()) for _request in range(2)]
    first, second = (passkeys.check_assertion(passkey, answers[one], challenges.ANONYMOUS) for one in (0, number))
    with transaction.atomic():
        first.use_up()
    between(passkey)
    with pytest.raises(error) as raised, transaction.atomic():
        second.use_up()
    assert type(raised.value) is error
