"""Of all requests with one code, one pending login or one enrolment that arrive at once, one succeeds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyotp
import pytest
from django.db import transaction
from pytest_django import Settings

from accounts import enrolment, factor_changes, login, one_time_tokens, passwords, second_factor, sessions, users
from accounts.errors import InvalidSecondFactor, TokenNotValid
from accounts.limits import rate_limits
from accounts.mfa import pending_logins, proofs
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import PendingLogin, RecoveryCode, Session, TotpSecret, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from tests.autocommit.racers import MOST, Action, Track
from tests.autocommit.races import EIGHT, FEW_ROUNDS, ROUNDS, Owner, living, rejections, sign_in, won
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD
from tests.second_factors import WITH_CODE

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
pytestmark = pytest.mark.parametrize("database", BOTH, indirect=True)


@pytest.fixture
def olga(scene: Scene) -> Owner:
    return Owner(scene)


def test_a_code_finishes_one_login(racers: Track, olga: Owner, settings: Settings) -> None:
    """With one pending login and with eight, with limits and without."""
    for place in range(ROUNDS):
        settings.RATE_LIMITS, tokens = bool(place % 2), (1, EIGHT)[place // 2 % 2]
        olga.begin_anew()
        pending, code = [olga.mfa_token() for _login in range(tokens)], olga.code()
        results = racers.race([olga.finishing(pending[number % tokens], code=code) for number in range(EIGHT)])
        [winner] = won(results)
        assert living(olga.user) == [sign_in(winner).session.pk]
        assert rejections(results) <= {"invalid_token", "invalid_second_factor", "throttled"}


def test_a_recovery_code_finishes_one_login(racers: Track, olga: Owner, settings: Settings) -> None:
    for place in range(ROUNDS):
        settings.RATE_LIMITS = bool(place % 2)
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
        assert rejections(results) == {"invalid_token"}
        assert olga.codes_left() == (10 if "otp" in winner.session.methods else 9)
        assert not rate_limits.was_counted(window)


def test_five_of_sixteen_proofs_are_checked(racers: Track, olga: Owner, settings: Settings) -> None:
    for place in range(ROUNDS):
        settings.RATE_LIMITS = bool(place % 2)
        olga.begin_anew()
        token = olga.mfa_token()
        results = racers.race([olga.finishing(token, code="wrong")] * MOST)
        assert [type(result) for result in results].count(InvalidSecondFactor) == 5
        assert rejections(results) <= {"invalid_second_factor", "invalid_token", "throttled"}
        assert PendingLogin.objects.get(user=olga.user).attempts == 5


def test_a_code_steps_up_once(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for _round in range(ROUNDS):
        olga.begin_anew()
        sessions, given = [olga.session() for _session in range(2)], SubmittedProof(code=olga.code())
        results = racers.race([partial(second_factor.step_up, sessions[place % 2], given) for place in range(EIGHT)])
        assert len(won(results)) == 1
        assert rejections(results) == {"invalid_second_factor"}
        assert Session.objects.filter(user=olga.user, stepped_up_at__isnull=False).count() == 1


def test_a_code_steps_up_or_finishes_a_login(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for _round in range(FEW_ROUNDS):
        olga.begin_anew()
        code, session = olga.code(), olga.session()
        finishing = [olga.finishing(olga.mfa_token(), code=code) for _login in range(4)]
        stepping = [partial(second_factor.step_up, session, SubmittedProof(code=code))] * 4
        assert len(won(racers.race([*finishing, *stepping]))) == 1


def suspension(olga: Owner, scene: Scene) -> Action:
    return partial(users.suspend, olga.user, actor=scene.root)


def deletion(olga: Owner, scene: Scene) -> Action:
    return partial(users.delete, olga.user, actor=scene.root)


def password_reset(olga: Owner, scene: Scene) -> Action:
    with transaction.atomic():
        token = one_time_tokens.issue(olga.user, Purpose.PASSWORD_RESET, request=new_id(), email=olga.user.email)
    return partial(passwords.reset, token, OTHER_PASSWORD)


def reset_of_factors(olga: Owner, scene: Scene) -> Action:
    return partial(factor_changes.reset, olga.user, actor=scene.root)


@pytest.mark.parametrize("end", [suspension, deletion, password_reset, reset_of_factors])
def test_no_second_step_outlives_the_end_of_what_it_proves(
    racers: Track, scene: Scene, olga: Owner, settings: Settings, end: Callable[[Owner, Scene], Action]
) -> None:
    """Whichever is first: no session is left, and a login that is too late gets the error of a dead token or proof."""
    settings.RATE_LIMITS = False
    for _round in range(FEW_ROUNDS):
        olga.begin_anew()
        pending = [olga.mfa_token() for _login in range(6)]
        finishing = [
            olga.finishing(token, recovery_code=code) for token, code in zip(pending, olga.recovery_codes, strict=False)
        ]
        ending, *results = racers.race([end(olga, scene), *finishing])
        assert won([ending]) == [ending]
        assert living(olga.user) == []
        assert rejections(results) <= {"invalid_token", "invalid_second_factor"}


@pytest.fixture
def new(scene: Scene, settings: Settings) -> "Enrolment":
    settings.RATE_WRITE = settings.RATE_WRITE._replace(limit=10 * FEW_ROUNDS)
    return Enrolment(scene)


def test_an_enrolment_is_confirmed_once(racers: Track, new: "Enrolment") -> None:
    for place in range(FEW_ROUNDS):
        new.begin_anew(is_pending=bool(place % 2))
        results = racers.race([new.confirming()] * (5 if new.enrolling.pending else EIGHT))
        [winner] = won(results)
        assert rejections(results) == {"invalid_token"}
        assert living(new.user) == [winner.sign_in.session.pk]
        assert new.user.recovery_codes.count() == len(winner.recovery_codes) == 10
        assert new.user.totp_secrets.get().confirmed_at


def test_of_two_pending_enrolments_of_a_user_one_succeeds(racers: Track, new: "Enrolment") -> None:
    for _round in range(FEW_ROUNDS):
        new.begin_anew(is_pending=True)
        other = new.another_pending()
        results = racers.race([new.confirming(), new.confirming(other)] * 2)
        assert len(won(results)) == len(living(new.user)) == 1
        assert rejections(results) == {"invalid_token"}
        assert new.user.recovery_codes.count() == 10


def test_a_second_begin_and_a_confirmation_leave_one_secret(racers: Track, new: "Enrolment") -> None:
    for _round in range(FEW_ROUNDS):
        new.begin_anew()
        begin = partial(enrolment.begin_totp, new.enrolling)
        results = racers.race([new.confirming(), begin, new.confirming(), begin])
        assert rejections(results) <= {"invalid_token"}
        assert new.user.totp_secrets.filter(confirmed_at__isnull=False).count() == len(won([results[0], results[2]]))


class Enrolment:
    """A user without a second factor who has scanned the QR code of one."""

    def __init__(self, scene: Scene) -> None:
        self.user = scene.person("nora")

    def begin_anew(self, *, is_pending: bool = False) -> None:
        """Takes away what an earlier round gave the user, and begins an enrolment in a session or a pending login."""
        with transaction.atomic():
            User.objects.filter(pk=self.user.pk).update(mfa_enabled=False)
            for model in (Session, PendingLogin, TotpSecret, RecoveryCode):
                model._default_manager.filter(user=self.user).delete()
        self.user.refresh_from_db()
        session, self.refresh = login.open_session(self.user, proofs.PASSWORD)
        self.enrolling = self.another_pending() if is_pending else enrolment.in_session(session)
        self.begun = enrolment.begin_totp(self.enrolling)

    def another_pending(self) -> enrolment.Enrolling:
        token = pending_logins.begin(self.user, PendingLogin.Purpose.ENROLMENT)
        return enrolment.in_pending_login(token)

    def confirming(self, enrolling: enrolment.Enrolling | None = None) -> Action:
        code = pyotp.TOTP(self.begun.secret).now()
        return partial(enrolment.confirm_totp, enrolling or self.enrolling, self.begun.id, code)


def test_no_older_refresh_token_survives_a_step_up(racers: Track, olga: Owner, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    for place in range(FEW_ROUNDS):
        olga.begin_anew()
        session, refresh = login.open_session(olga.user, WITH_CODE)
        step_up = partial(second_factor.step_up, session, SubmittedProof(code=olga.code()))
        stepped_up, *refreshed = racers.race([step_up, *[partial(login.refresh, refresh)] * (1 + place % 4)])
        older = {refresh} | {result.refresh for result in won(refreshed)}
        _has_one_family(sign_in(stepped_up), older)


def test_no_older_refresh_token_survives_an_enrolment(racers: Track, new: "Enrolment") -> None:
    for place in range(FEW_ROUNDS):
        new.begin_anew()
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
