"""Unlocking resets the limits of another user's second factor, a few times a day, and never those of one's own."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import second_factor, users
from accounts.errors import AccountError, InvalidSecondFactor, Throttled
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import AuditEvent, Session, User
from tests.admin.second_factors import sign_in, text
from tests.api.requests import API, log_in, post
from tests.conftest import OTHER_PASSWORD, refused
from tests.second_factors import enrol, signed_in

pytestmark = pytest.mark.django_db
GUESS = SubmittedProof(code="wrong")


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.RATE_LIMITS = True


def use_up_guesses(user: User) -> None:
    signed_in(user)
    session = Session.objects.select_related("user__role").filter(user=user).latest("id")
    for _guess in range(5):
        with pytest.raises(InvalidSecondFactor):
            second_factor.step_up(session, GUESS)
    with pytest.raises(Throttled):
        second_factor.step_up(session, GUESS)


def unlock(client: APIClient, user: User) -> Any:
    return client.post(f"{API}users/{user.pk}/unlock/")


@pytest.mark.parametrize("name", ["me", "id", "panel"])
def test_ones_own_account_gets_no_further_guesses(root: User, name: str) -> None:
    phone = enrol(root)
    client, panel = signed_in(root), sign_in(root, phone)
    use_up_guesses(root)
    if name == "panel":
        answer = panel.post(f"/admin/accounts/user/{root.pk}/do/unlock/", follow=True)
        assert "Failed logins were cleared." in text(answer)
    else:
        assert client.post(f"{API}users/{'me' if name == 'me' else root.pk}/unlock/").status_code == 200
    refused(post(client, "auth/step-up/", code=phone.code()), 429, "throttled")


def test_ones_own_failed_logins_are_reset(root: User, roots: APIClient, stranger: APIClient) -> None:
    for _attempt in range(5):
        refused(log_in(stranger, root.email, OTHER_PASSWORD), 401, "invalid_credentials")
    refused(log_in(stranger, root.email), 429, "throttled")
    assert unlock(roots, root).status_code == 200
    assert log_in(stranger, root.email).status_code == 200


def test_the_sixth_reset_of_a_day_is_throttled(ana: User, roots: APIClient, carlas: APIClient) -> None:
    """However many administrators do it."""
    enrol(ana)
    for number in range(5):
        use_up_guesses(ana)
        assert unlock((roots, carlas)[number % 2], ana).status_code == 200
    use_up_guesses(ana)
    before = AuditEvent.objects.filter(kind="user:unlocked").count()
    answer = unlock(roots, ana)
    refused(answer, 429, "throttled")
    assert 0 < int(answer["Retry-After"]) <= 24 * 60 * 60
    assert AuditEvent.objects.filter(kind="user:unlocked").count() == before == 5
    assert AuditEvent.objects.get(kind="limit:reached", data__scope="second-factor-reset").user_id == ana.pk
    session = Session.objects.select_related("user__role").filter(user=ana).latest("id")
    with pytest.raises(Throttled):
        second_factor.step_up(session, GUESS)


def test_other_users_and_commands_are_not_limited(ana: User, bruno: User, roots: APIClient) -> None:
    enrol(ana)
    assert [unlock(roots, ana).status_code for _time in range(6)] == [200] * 5 + [429]
    assert [unlock(roots, bruno).status_code for _time in range(6)] == [200] * 6  # has no second factor
    enrol(bruno)
    assert unlock(roots, bruno).status_code == 200
    use_up_guesses(ana)
    users.unlock(ana, actor=None)
    use_up_guesses(ana)


def test_a_rejected_reset_is_not_counted(ana: User, carla: User, root: User) -> None:
    enrol(root)
    for _time in range(6):
        with pytest.raises(AccountError, match="permission_denied"):
            users.unlock(root, actor=carla)
    users.unlock(root, actor=None)
    enrol(ana)
    users.unlock(ana, actor=carla)


def test_without_limits_nothing_is_counted(ana: User, roots: APIClient, settings: Settings) -> None:
    settings.RATE_LIMITS = False
    enrol(ana)
    assert [unlock(roots, ana).status_code for _time in range(6)] == [200] * 6
