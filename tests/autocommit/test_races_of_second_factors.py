"""Of all requests with one code, one pending login or one enrolment that arrive at once, one succeeds."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyotp
import pytest
from pytest_django import Settings

from accounts import enrolment, factor_changes, login, passwords, second_factor, sessions, users
from accounts.errors import InvalidSecondFactor, TokenNotValid
from accounts.limits import rate_limits
from accounts.mfa import pending_logins, proofs
from accounts.mfa.given import Given
from accounts.models import PendingLogin, Session
from tests.autocommit.races import (
    EIGHT,
    MOST,
    ROUNDS,
    Action,
    Owner,
    Track,
    living,
    refusals,
    sign_in,
    track,
    won,
)
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
pytestmark = pytest.mark.parametrize("database", BOTH, indirect=True)


@pytest.fixture(scope="module")
def racers(database: str) -> Iterator[Track]:
    with track() as opened:
        yield opened


@pytest.fixture
def olga(scene: Scene) -> Owner:
    return Owner(scene)


@pytest.fixture(params=[True, False], ids=["limits on", "limits off"])
def _limits(request: pytest.FixtureRequest, settings: Settings) -> None:
    settings.RATE_LIMITS = request.param


@pytest.mark.parametrize("tokens", [1, EIGHT])
@pytest.mark.usefixtures("_limits")
def test_a_code_finishes_one_login(racers: Track, olga: Owner, tokens: int) -> None:
    for _round in range(ROUNDS):
        olga.begin_anew()
        pending, code = [olga.mfa_token() for _login in range(tokens)], olga.code()
        results = racers.race([olga.finishing(pending[place % tokens], code=code) for place in range(EIGHT)])
        [winner] = won(results)
        assert living(olga.user) == [sign_in(winner).session.pk]
        assert refusals(results) <= {"invalid_token", "invalid_second_factor", "throttled"}


@pytest.mark.usefixtures("_limits")
def test_a_recovery_code_finishes_one_login(racers: Track, olga: Owner) -> None:
    for place in range(ROUNDS):
        olga.begin_anew()
        pending, code = [olga.mfa_token() for _login in range(EIGHT)], olga.recovery_codes[place % 10]
        results = racers.race([olga.finishing(token, recovery_code=code) for token in pending])
        assert len(won(results)) == len(living(olga.user)) == 1
        assert olga.codes_left() == 9


def test_a_pending_login_opens_one_session_and_uses_up_one_proof(
    racers: Track, olga: Owner, settings: Settings
) -> None:
    """What loses is not counted, although the account's attempts are counted before the pending login is used up."""
    settings.RATE_SECOND_FACTOR = settings.RATE_SECOND_FACTOR._replace(limit=EIGHT)
    window = rate_limits.user_attempt(olga.user, "second-factor", settings.RATE_SECOND_FACTOR)
    for _round in range(ROUNDS):
        olga.begin_anew()
        token = olga.mfa_token()
        given = [{"code": olga.code()}, *({"recovery_code": code} for code in olga.recovery_codes[1:EIGHT])]
        results = racers.race([olga.finishing(token, **proof) for proof in given])
        [winner] = won(results)
        assert living(olga.user) == [winner.session.pk]
        assert refusals(results) == {"invalid_token"}
        assert olga.codes_left() == (10 if "otp" in winner.session.methods else 9)
        assert not rate_limits.was_counted(window)


@pytest.mark.usefixtures("_limits")
def test_five_of_sixteen_proofs_are_checked(racers: Track, olga: Owner) -> None:
    for _round in range(ROUNDS):
        olga.begin_anew()
        token = olga.mfa_token()
        results = racers.race([olga.finishing(token, code="wrong")] * MOST)
        assert [type(result) for result in results].count(InvalidSecondFactor) == 5
        assert refusals(results) <= {"invalid_second_factor", "invalid_token", "throttled"}
        assert PendingLogin.objects.get(user=olga.user).attempts == 5


def test_a_code_steps_up_once(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for _round in range(ROUNDS):
        olga.begin_anew()
        sessions, given = [olga.session() for _session in range(2)], Given(code=olga.code())
        results = racers.race([partial(second_factor.step_up, sessions[place % 2], given) for place in range(EIGHT)])
        assert len(won(results)) == 1
        assert refusals(results) == {"invalid_second_factor"}
        assert Session.objects.filter(user=olga.user, stepped_up_at__isnull=False).count() == 1


def test_a_code_steps_up_or_finishes_a_login(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for _round in range(ROUNDS):
        olga.begin_anew()
        code, session = olga.code(), olga.session()
        finishing = [olga.finishing(olga.mfa_token(), code=code) for _login in range(4)]
        stepping = [partial(second_factor.step_up, session, Given(code=code))] * 4
        assert len(won(racers.race([*finishing, *stepping]))) == 1


def suspension(olga: Owner, scene: Scene) -> Action:
    return partial(users.suspend, olga.user, actor=scene.root)


def deletion(olga: Owner, scene: Scene) -> Action:
    return partial(users.delete, olga.user, actor=scene.root)


def password_reset(olga: Owner, scene: Scene) -> Action:
    users.send_password_reset(olga.user, actor=None)
    return partial(passwords.reset, scene.token("password_reset"), OTHER_PASSWORD)


def reset_of_factors(olga: Owner, scene: Scene) -> Action:
    return partial(factor_changes.reset, olga.user, actor=scene.root)


@pytest.mark.parametrize("end", [suspension, deletion, password_reset, reset_of_factors])
def test_no_second_step_outlives_the_end_of_what_it_proves(
    racers: Track, scene: Scene, settings: Settings, end: Callable[[Owner, Scene], Action]
) -> None:
    """Whichever is first: no session is left, and a login that is too late gets the error of a dead token or proof."""
    settings.RATE_LIMITS = False
    for _round in range(10):
        olga = Owner(scene)
        pending = [olga.mfa_token() for _login in range(6)]
        finishing = [
            olga.finishing(token, recovery_code=code) for token, code in zip(pending, olga.recovery_codes, strict=False)
        ]
        ending, *results = racers.race([end(olga, scene), *finishing])
        assert won([ending]) == [ending]
        assert living(olga.user) == []
        assert refusals(results) <= {"invalid_token", "invalid_second_factor"}


def test_an_enrolment_is_confirmed_once(racers: Track, scene: Scene) -> None:
    for place in range(ROUNDS):
        new = Enrolment(scene, is_pending=bool(place % 2))
        results = racers.race([new.confirming()] * (5 if new.enrolling.pending else EIGHT))
        [winner] = won(results)
        assert refusals(results) == {"invalid_token"}
        assert living(new.user) == [winner.sign_in.session.pk]
        assert new.user.recovery_codes.count() == len(winner.recovery_codes) == 10
        assert new.user.totp_secrets.get().confirmed_at


def test_of_two_pending_enrolments_of_a_user_one_succeeds(racers: Track, scene: Scene) -> None:
    for _round in range(ROUNDS):
        new = Enrolment(scene, is_pending=True)
        other = new.another_pending()
        results = racers.race([new.confirming(), new.confirming(other)] * 2)
        assert len(won(results)) == len(living(new.user)) == 1
        assert refusals(results) == {"invalid_token"}
        assert new.user.recovery_codes.count() == 10


def test_a_second_begin_and_a_confirmation_leave_one_secret(racers: Track, scene: Scene) -> None:
    for _round in range(ROUNDS):
        new = Enrolment(scene)
        begin = partial(enrolment.begin_totp, new.enrolling)
        results = racers.race([new.confirming(), begin, new.confirming(), begin])
        assert refusals(results) <= {"invalid_token"}
        assert new.user.totp_secrets.filter(confirmed_at__isnull=False).count() == len(won([results[0], results[2]]))


class Enrolment:
    """A user without a second factor who has scanned the QR code of one."""

    def __init__(self, scene: Scene, *, is_pending: bool = False) -> None:
        self.user = scene.person("nora")
        session, self.refresh = login.open_session(self.user, proofs.PASSWORD)
        self.enrolling = enrolment.in_session(session)
        if is_pending:
            session.delete()
            self.enrolling = self.another_pending()
        self.begun = enrolment.begin_totp(self.enrolling)

    def another_pending(self) -> enrolment.Enrolling:
        token = pending_logins.begin(self.user, PendingLogin.Purpose.ENROLMENT)
        return enrolment.in_pending_login(token)

    def confirming(self, enrolling: enrolment.Enrolling | None = None) -> Action:
        code = pyotp.TOTP(self.begun.secret).now()
        return partial(enrolment.confirm_totp, enrolling or self.enrolling, self.begun.id, code)


def test_no_older_refresh_token_survives_a_step_up(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for place in range(ROUNDS):
        olga.begin_anew()
        session, refresh = login.open_session(olga.user, proofs.Proof(("pwd", "otp", "mfa")))
        step_up = partial(second_factor.step_up, session, Given(code=olga.code()))
        stepped_up, *refreshed = racers.race([step_up, *[partial(login.refresh, refresh)] * (1 + place % 4)])
        older = {refresh} | {result.refresh for result in won(refreshed)}
        _has_one_family(sign_in(stepped_up), older)


def test_no_older_refresh_token_survives_an_enrolment(racers: Track, scene: Scene) -> None:
    for place in range(ROUNDS):
        new = Enrolment(scene)
        results = racers.race([new.confirming(), *[partial(login.refresh, new.refresh)] * (1 + place % 4)])
        older = {new.refresh} | {result.refresh for result in won(results[1:])}
        _has_one_family(results[0].sign_in, older)


def _has_one_family(latest: Any, older: set[str]) -> None:
    """Asserts that only the latest refresh token can be used. A refresh that lost against it has ended the session."""
    assert latest.refresh not in older
    for token in older:
        with pytest.raises(TokenNotValid):
            sessions.find_by_refresh_token(token)
    if living(latest.session.user):
        assert login.refresh(latest.refresh).session.acr == "aal2"
