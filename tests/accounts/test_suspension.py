"""Suspending somebody for a time: why and until when can be seen, and they are let in when the time has come."""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from rest_framework.test import APIClient

from accounts import audit, credentials, suspension, users
from accounts.errors import AccountSuspended, InvalidCredentials, InvalidInput, LastAdmin
from accounts.models import AuditEvent, Session, User
from accounts.signals import time_passed
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

TOMORROW = timezone.now() + timedelta(days=1)


def kinds(user: User) -> list[str]:
    return list(AuditEvent.objects.filter(user_id=user.pk).order_by("id").values_list("kind", flat=True))


def is_active(user: User) -> bool:
    return User.objects.get(pk=user.pk).is_active


@pytest.fixture
def over(ana: User, root: User) -> User:
    """Ana, whose suspension should have ended a moment ago and whom nobody has let in yet."""
    users.suspend(ana, actor=root, reason="Chargeback", until=TOMORROW)
    User.objects.filter(pk=ana.pk).update(suspended_until=timezone.now() - timedelta(seconds=1))
    return User.objects.get(pk=ana.pk)


def test_says_why_since_when_until_when_and_by_whom(ana: User, root: User) -> None:
    before = timezone.now()
    suspended = users.suspend(ana, actor=root, reason="Chargeback", until=TOMORROW)
    found = suspension.current(suspended)
    assert found
    assert (found.reason, found.until, found.actor) == ("Chargeback", TOMORROW, root.pk)
    assert found.since
    assert before <= found.since <= timezone.now()
    event = AuditEvent.objects.get(kind="user:suspended")
    assert event.data == {"until": TOMORROW.isoformat()}


def test_says_nothing_of_somebody_who_is_not_suspended(ana: User, root: User) -> None:
    users.suspend(ana, actor=root, reason="Chargeback")
    assert suspension.current(users.activate(ana, actor=root)) is None


def test_says_what_is_left_when_the_trail_does_not_reach_so_far(person: Callable[..., User]) -> None:
    suspended = person("ana", is_active=False, suspended_until=TOMORROW)
    assert suspension.current(suspended) == ("", None, TOMORROW, None)


@pytest.mark.parametrize("until", [timedelta(0), timedelta(days=-1)])
def test_an_end_lies_in_the_future(ana: User, until: timedelta) -> None:
    with pytest.raises(InvalidInput) as refusal:
        users.suspend(ana, actor=None, until=timezone.now() + until)
    assert refusal.value.faults[0][:2] == ("until", "not_in_future")
    assert is_active(ana)
    assert kinds(ana) == []


def test_suspending_again_replaces_the_end_and_the_reason(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback", until=TOMORROW)
    again = users.suspend(ana, actor=None, reason="Fraud")
    found = suspension.current(again)
    assert found
    assert (found.reason, found.until) == ("Fraud", None)


def test_suspending_again_in_the_same_way_is_not_told_twice(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback", until=TOMORROW)
    users.suspend(ana, actor=None, until=TOMORROW)
    assert kinds(ana) == ["user:suspended"]


def test_activating_clears_the_end(ana: User) -> None:
    users.suspend(ana, actor=None, until=TOMORROW)
    assert users.activate(ana, actor=None).suspended_until is None
    users.suspend(ana, actor=None, until=TOMORROW)
    assert users.update(ana, actor=None, is_active=True).suspended_until is None


def test_activating_forgets_the_reason(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback")
    users.activate(ana, actor=None)
    assert User.objects.get(pk=ana.pk).suspension_reason == ""


@pytest.mark.parametrize("left_over", [{"suspended_until": TOMORROW}, {"suspension_reason": "Chargeback"}])
def test_nobody_is_active_with_an_end_or_a_reason(ana: User, left_over: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=ana.pk).update(**left_over)


def test_a_reason_from_before_moves_from_the_event_to_the_user(ana: User, bruno: User, carla: User) -> None:
    for user, reason in ((ana, "Chargeback"), (ana, "Charge\tback again"), (bruno, "Spam")):
        audit.record("user:suspended", user, actor=None, reason=reason)
    User.objects.filter(pk__in=[ana.pk, carla.pk]).update(is_active=False)
    import_module("accounts.migrations.0010_suspension_reason").move_reasons(apps, None)
    reasons = dict(User.objects.values_list("pk", "suspension_reason"))
    assert reasons == {ana.pk: "Chargeback again", bruno.pk: "", carla.pk: ""}


def test_an_end_makes_the_last_admin_no_less_the_last(root: User) -> None:
    with pytest.raises(LastAdmin):
        users.suspend(root, actor=None, until=TOMORROW)
    assert is_active(root)


class TestLettingInAgain:
    def test_who_logs_in_is_let_in_at_once(self, over: User) -> None:
        assert credentials.check(over.email, PASSWORD).is_active
        assert is_active(over)
        assert kinds(over)[-1] == "user:activated"
        assert AuditEvent.objects.get(kind="user:activated").actor_id is None

    def test_a_wrong_password_lets_nobody_in(self, over: User) -> None:
        with pytest.raises(InvalidCredentials):
            credentials.check(over.email, OTHER_PASSWORD)
        assert not is_active(over)

    def test_the_relay_lets_in_who_does_not_log_in(self, over: User, bruno: User) -> None:
        users.suspend(bruno, actor=None, until=TOMORROW)
        time_passed.send(sender=None)
        time_passed.send(sender=None)
        assert (is_active(over), is_active(bruno)) == (True, False)
        assert kinds(over).count("user:activated") == 1
        let_in = User.objects.get(pk=over.pk)
        assert (let_in.suspended_until, let_in.suspension_reason) == (None, "")

    def test_the_relay_takes_some_at_a_time(
        self, over: User, person: Callable[..., User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(suspension, "ENDED_AT_ONCE", 1)
        later = person("later", is_active=False, suspended_until=timezone.now())
        suspension.end_all_over()
        assert (is_active(over), is_active(later)) == (True, False)

    def test_an_end_that_was_put_off_meanwhile_stays(self, over: User) -> None:
        users.suspend(over, actor=None, until=TOMORROW)
        assert not suspension.end_if_over(over)
        assert not is_active(over)

    def test_who_notices_second_sees_that_they_are_active(self, over: User) -> None:
        second = User.objects.get(pk=over.pk)
        assert suspension.end_if_over(over)
        assert suspension.end_if_over(second)
        assert kinds(over).count("user:activated") == 1

    def test_nobody_is_let_in_early_or_without_an_end(self, ana: User, bruno: User) -> None:
        users.suspend(ana, actor=None, until=TOMORROW)
        users.suspend(bruno, actor=None)
        for user in (ana, bruno):
            with pytest.raises(AccountSuspended):
                credentials.check(user.email, PASSWORD)
            assert not is_active(user)

    def test_sessions_from_before_stay_ended(self, ana: User, client_of: Callable[[User], APIClient]) -> None:
        client = client_of(ana)
        users.suspend(ana, actor=None, until=TOMORROW)
        User.objects.filter(pk=ana.pk).update(suspended_until=timezone.now())
        suspension.end_all_over()
        refused(client.get("/api/v1/users/me/"), 401, "token_not_valid")
        assert not Session.objects.alive().exists()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "This account is suspended until Jan. 31, 2040, noon UTC."),
        ("es", "Esta cuenta está suspendida hasta el 31 de enero de 2040 a las 12:00 UTC."),
    ],
)
def test_who_is_suspended_learns_until_when(ana: User, language: str, words: str) -> None:
    users.suspend(ana, actor=None, until=datetime.fromisoformat("2040-01-31T12:00Z"))
    with translation.override(language), pytest.raises(AccountSuspended) as refusal:
        credentials.check(ana.email, PASSWORD)
    assert str(refusal.value.detail) == words


class TestOverHttp:
    @pytest.fixture
    def path(self, ana: User) -> str:
        return f"/api/v1/users/{ana.pk}/suspend/"

    def test_takes_a_reason_and_an_end_and_shows_them(
        self, ana: User, root: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        client = client_of(root)
        answer = client.post(path, {"reason": "Chargeback", "until": "2040-01-31T13:00:00+01:00"}, "json")
        assert answer.status_code == 200
        assert answer.json()["is_active"] is False
        shown = client.get(path).json()
        assert shown | {"since": None} == {
            "reason": "Chargeback",
            "since": None,
            "until": "2040-01-31T12:00:00Z",
            "actor": str(root.pk),
        }

    @pytest.mark.parametrize(
        "until", ["2020-01-01T00:00:00Z", "tomorrow", "", 5, {}, [], True, "9999-12-31T23:59:59-12:00", "2040-13-01"]
    )
    def test_refuses_an_end_that_is_none(
        self, ana: User, root: User, path: str, client_of: Callable[[User], APIClient], until: Any
    ) -> None:
        problem = refused(client_of(root).post(path, {"until": until}, "json"), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == ["until"]
        assert is_active(ana)

    def test_is_seen_by_those_who_may_see_users(
        self, ana: User, bruno: User, carla: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        refused(client_of(carla).get(path), 404, "not_found")
        users.suspend(ana, actor=None, reason="Chargeback")
        assert client_of(carla).get(path).json()["reason"] == "Chargeback"
        refused(client_of(bruno).get(path), 404, "not_found")
        refused(APIClient().get(path), 401, "not_authenticated")
