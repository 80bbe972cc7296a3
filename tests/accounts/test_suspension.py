"""A suspension shows its reason and its end, and the user can log in again when it has expired."""

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
def expired(ana: User, root: User) -> User:
    """Returns ana, whose suspension has just expired but has not been ended yet."""
    users.suspend(ana, actor=root, reason="Chargeback", until=TOMORROW)
    User.objects.filter(pk=ana.pk).update(suspended_until=timezone.now() - timedelta(seconds=1))
    return User.objects.get(pk=ana.pk)


def test_current_has_the_reason_the_times_and_the_actor(ana: User, root: User) -> None:
    before = timezone.now()
    suspended = users.suspend(ana, actor=root, reason="Chargeback", until=TOMORROW)
    found = suspension.current(suspended)
    assert found
    assert (found.reason, found.until, found.actor) == ("Chargeback", TOMORROW, root.pk)
    assert found.since
    assert before <= found.since <= timezone.now()
    event = AuditEvent.objects.get(kind="user:suspended")
    assert event.data == {"until": TOMORROW.isoformat()}


def test_says_nothing_of_a_user_who_is_not_suspended(ana: User, root: User) -> None:
    users.suspend(ana, actor=root, reason="Chargeback")
    assert suspension.current(users.activate(ana, actor=root)) is None


def test_shows_reason_and_end_when_the_audit_event_was_pruned(person: Callable[..., User]) -> None:
    suspended = person("ana", is_active=False, suspended_until=TOMORROW)
    assert suspension.current(suspended) == ("", None, TOMORROW, None)


@pytest.mark.parametrize("until", [timedelta(0), timedelta(days=-1)])
def test_an_end_lies_in_the_future(ana: User, until: timedelta) -> None:
    with pytest.raises(InvalidInput) as raised:
        users.suspend(ana, actor=None, until=timezone.now() + until)
    assert raised.value.errors[0][:2] == ("until", "not_in_future")
    assert is_active(ana)
    assert kinds(ana) == []


def test_suspending_again_replaces_the_end_and_the_reason(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback", until=TOMORROW)
    again = users.suspend(ana, actor=None, reason="Fraud")
    found = suspension.current(again)
    assert found
    assert (found.reason, found.until) == ("Fraud", None)


def test_suspending_again_in_the_same_way_is_not_recorded_twice(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback", until=TOMORROW)
    users.suspend(ana, actor=None, until=TOMORROW)
    assert kinds(ana) == ["user:suspended"]


def test_activating_clears_the_end(ana: User) -> None:
    users.suspend(ana, actor=None, until=TOMORROW)
    assert users.activate(ana, actor=None).suspended_until is None
    users.suspend(ana, actor=None, until=TOMORROW)
    assert users.update(ana, actor=None, is_active=True).suspended_until is None


def test_activating_clears_the_reason(ana: User) -> None:
    users.suspend(ana, actor=None, reason="Chargeback")
    users.activate(ana, actor=None)
    assert User.objects.get(pk=ana.pk).suspension_reason == ""


@pytest.mark.parametrize("left_over", [{"suspended_until": TOMORROW}, {"suspension_reason": "Chargeback"}])
def test_no_user_is_active_with_an_end_or_a_reason(ana: User, left_over: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=ana.pk).update(**left_over)


def test_a_reason_from_before_moves_from_the_event_to_the_user(ana: User, bruno: User, carla: User) -> None:
    for user, reason in ((ana, "Chargeback"), (ana, "Charge\tback again"), (bruno, "Spam")):
        audit.record("user:suspended", user, actor=None, reason=reason)
    User.objects.filter(pk__in=[ana.pk, carla.pk]).update(is_active=False)
    import_module("accounts.migrations.0010_suspension_reason").move_reasons(apps, None)
    reasons = dict(User.objects.values_list("pk", "suspension_reason"))
    assert reasons == {ana.pk: "Chargeback again", bruno.pk: "", carla.pk: ""}


def test_the_last_admin_cannot_be_suspended_for_a_time_either(root: User) -> None:
    with pytest.raises(LastAdmin):
        users.suspend(root, actor=None, until=TOMORROW)
    assert is_active(root)


class TestExpiry:
    def test_a_login_ends_an_expired_suspension(self, expired: User) -> None:
        assert credentials.check_password(expired.email, PASSWORD).is_active
        assert is_active(expired)
        assert kinds(expired)[-1] == "user:activated"
        assert AuditEvent.objects.get(kind="user:activated").actor_id is None

    def test_a_wrong_password_ends_no_suspension(self, expired: User) -> None:
        with pytest.raises(InvalidCredentials):
            credentials.check_password(expired.email, OTHER_PASSWORD)
        assert not is_active(expired)

    def test_the_relay_ends_an_expired_suspension(self, expired: User, bruno: User) -> None:
        users.suspend(bruno, actor=None, until=TOMORROW)
        time_passed.send(sender=None)
        time_passed.send(sender=None)
        assert (is_active(expired), is_active(bruno)) == (True, False)
        assert kinds(expired).count("user:activated") == 1
        activated = User.objects.get(pk=expired.pk)
        assert (activated.suspended_until, activated.suspension_reason) == (None, "")

    def test_the_relay_takes_some_at_a_time(
        self, expired: User, person: Callable[..., User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(suspension, "BATCH_SIZE", 1)
        later = person("later", is_active=False, suspended_until=timezone.now())
        suspension.end_expired()
        assert (is_active(expired), is_active(later)) == (True, False)

    def test_an_end_that_was_postponed_meanwhile_stays(self, expired: User) -> None:
        users.suspend(expired, actor=None, until=TOMORROW)
        assert not suspension.end_if_expired(expired)
        assert not is_active(expired)

    def test_the_second_caller_sees_that_the_user_is_active(self, expired: User) -> None:
        second = User.objects.get(pk=expired.pk)
        assert suspension.end_if_expired(expired)
        assert suspension.end_if_expired(second)
        assert kinds(expired).count("user:activated") == 1

    def test_no_suspension_ends_early_or_without_an_end(self, ana: User, bruno: User) -> None:
        users.suspend(ana, actor=None, until=TOMORROW)
        users.suspend(bruno, actor=None)
        for user in (ana, bruno):
            with pytest.raises(AccountSuspended):
                credentials.check_password(user.email, PASSWORD)
            assert not is_active(user)

    def test_sessions_from_before_stay_ended(self, ana: User, client_of: Callable[[User], APIClient]) -> None:
        client = client_of(ana)
        users.suspend(ana, actor=None, until=TOMORROW)
        User.objects.filter(pk=ana.pk).update(suspended_until=timezone.now())
        suspension.end_expired()
        refused(client.get("/api/v1/users/me/"), 401, "token_not_valid")
        assert not Session.objects.active().exists()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "This account is suspended until Jan. 31, 2040, noon UTC."),
        ("es", "Esta cuenta está suspendida hasta el 31 de enero de 2040 a las 12:00 UTC."),
    ],
)
def test_a_suspended_user_learns_until_when(ana: User, language: str, words: str) -> None:
    users.suspend(ana, actor=None, until=datetime.fromisoformat("2040-01-31T12:00Z"))
    with translation.override(language), pytest.raises(AccountSuspended) as raised:
        credentials.check_password(ana.email, PASSWORD)
    assert str(raised.value.detail) == words


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
    def test_rejects_an_invalid_end(
        self, ana: User, root: User, path: str, client_of: Callable[[User], APIClient], until: Any
    ) -> None:
        problem = refused(client_of(root).post(path, {"until": until}, "json"), 400, "validation_error")
        assert [error["field"] for error in problem["errors"]] == ["until"]
        assert is_active(ana)

    def test_only_actors_who_may_see_users_see_it(
        self, ana: User, bruno: User, carla: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        refused(client_of(carla).get(path), 404, "not_found")
        users.suspend(ana, actor=None, reason="Chargeback")
        assert client_of(carla).get(path).json()["reason"] == "Chargeback"
        refused(client_of(bruno).get(path), 404, "not_found")
        refused(APIClient().get(path), 401, "not_authenticated")
