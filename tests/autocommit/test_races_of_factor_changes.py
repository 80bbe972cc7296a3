"""Changes of one user's second factors that arrive at once, alone and together with logins, and with a reset."""

from functools import partial
from random import Random

import pytest
from pytest_django import Settings

from accounts import factor_changes, second_factor
from accounts.mfa import factors
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import PendingLogin, Role, Session
from tests.autocommit.racers import Action, Track
from tests.autocommit.races import EIGHT, FEW_ROUNDS, Owner, living, rejections, won
from tests.autocommit.scene import Scene

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
LATE = {"not_found", "conflict", "invalid_second_factor", "invalid_token", "token_not_valid"}
pytestmark = pytest.mark.parametrize("database", BOTH, indirect=True)


@pytest.fixture(autouse=True)
def _no_limits(settings: Settings) -> None:
    settings.RATE_LIMITS = False


@pytest.fixture
def olga(scene: Scene) -> Owner:
    """A user with an authenticator app and a passkey."""
    return Owner(scene, has_passkey=True)


def test_a_factor_is_removed_once(racers: Track, olga: Owner) -> None:
    for _round in range(FEW_ROUNDS):
        olga.begin_anew()
        [app, key] = factors.of_user(olga.user)
        results = racers.race([partial(factor_changes.remove, olga.user, app.id)] * EIGHT)
        assert won(results) == [None]
        assert rejections(results) == {"not_found"}
        assert factors.of_user(olga.user) == [key]
        olga.user.refresh_from_db()
        assert olga.user.mfa_enabled


def test_of_two_factors_one_stays_if_the_role_requires_it(racers: Track, scene: Scene, olga: Owner) -> None:
    Role.objects.filter(pk=scene.role.pk).update(mfa="required")
    role = Role.objects.get(pk=scene.role.pk)
    for _round in range(FEW_ROUNDS):
        olga.begin_anew()
        olga.user.role = role
        olga.user.save(update_fields=["role"])
        results = racers.race([partial(factor_changes.remove, olga.user, one.id) for one in factors.of_user(olga.user)])
        assert won(results) == [None]
        assert rejections(results) == {"conflict"}
        assert len(factors.of_user(olga.user)) == 1


def test_two_factors_that_are_removed_at_once_leave_none(racers: Track, olga: Owner) -> None:
    """The second one to be removed is the last, although both were there when the requests came."""
    for _round in range(FEW_ROUNDS):
        olga.begin_anew()
        olga.session()
        results = racers.race([partial(factor_changes.remove, olga.user, one.id) for one in factors.of_user(olga.user)])
        assert won(results) == [None, None]
        olga.user.refresh_from_db()
        assert not olga.user.mfa_enabled
        assert (factors.of_user(olga.user), olga.codes_left(), living(olga.user)) == ([], 0, [])


def test_new_recovery_codes_are_ten(racers: Track, olga: Owner) -> None:
    for _round in range(FEW_ROUNDS):
        results = racers.race([partial(factor_changes.make_recovery_codes, olga.user)] * EIGHT)
        assert len(won(results)) == EIGHT
        assert olga.user.recovery_codes.count() == 10


def test_no_login_and_no_change_outlives_a_reset(racers: Track, scene: Scene, olga: Owner) -> None:
    """Whichever is first: neither sessions nor factors nor recovery codes are left."""
    for seed in range(FEW_ROUNDS):
        olga.begin_anew()
        [app, key] = factors.of_user(olga.user)
        actions: list[Action] = [
            partial(factor_changes.reset, olga.user, actor=scene.root),
            partial(factor_changes.rename, olga.user, app.id, "x"),
            partial(factor_changes.remove, olga.user, key.id),
            partial(factor_changes.make_recovery_codes, olga.user),
            partial(second_factor.step_up, olga.session(), SubmittedProof(recovery_code=olga.recovery_codes[0])),
            olga.finishing(olga.mfa_token(), recovery_code=olga.recovery_codes[1]),
            olga.finishing(olga.mfa_token(), code=olga.code()),
        ]
        Random(seed).shuffle(actions)
        results = racers.race(actions)
        assert rejections(results) <= LATE
        olga.user.refresh_from_db()
        assert not olga.user.mfa_enabled
        assert olga.user.mfa_reset_at
        assert (factors.of_user(olga.user), olga.user.recovery_codes.count(), living(olga.user)) == ([], 0, [])
        assert not PendingLogin.objects.filter(user=olga.user).exists()
        assert not Session.objects.filter(user=olga.user, revoked_at=None).exists()
