"""A user's change of their own name or language waits for no administrator, and counts in the change's transaction."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from accounts import authorization, permissions, users
from accounts.errors import Throttled, TokenNotValid
from accounts.models import AuditEvent, RateBucket, Role, User
from usermanager.environment import rate

PATIENCE = 20.0  # seconds, for a busy machine


@pytest.fixture
def ana(database: str, settings: Settings) -> User:
    settings.RATE_LIMITS, settings.RATE_WRITE = True, rate("3/1h")
    role = Role.objects.get(name=permissions.USER)
    return User.objects.create(email="ana@example.com", full_name="Ana", role=role, email_verified=True)


def rename(user: User, name: str) -> None:
    users.update(user, actor=user, full_name=name)


def in_a_thread(call: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_it_does_not_wait_for_the_change_of_an_administrator(ana: User) -> None:
    with transaction.atomic():
        authorization.lock_and_check(None)
        change = in_a_thread(lambda: rename(ana, "Ana García"))
        change.join(PATIENCE)
        assert not change.is_alive()
    assert User.objects.get().full_name == "Ana García"


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_it_waits_for_a_suspension_and_is_then_rejected(ana: User) -> None:
    errors: list[type[Exception]] = []

    def change() -> None:
        try:
            rename(ana, "Ana García")
        except TokenNotValid as error:
            errors.append(type(error))

    with transaction.atomic():
        users.suspend(ana, actor=None)
        thread = in_a_thread(change)
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert errors == [TokenNotValid]
    assert User.objects.get().full_name == "Ana"


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_it_waits_for_another_role_and_then_takes_place(ana: User) -> None:
    """PostgreSQL reads the role before it waits, and then at first finds no user with it."""
    support = Role.objects.create(name="support")
    changed: list[User] = []
    with transaction.atomic():
        users.set_role(ana, support, actor=None)
        thread = in_a_thread(lambda: changed.append(users.update(ana, actor=ana, full_name="Ana García")))
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert [(user.full_name, user.role) for user in changed] == [("Ana García", support)]
    assert [(user.full_name, user.role) for user in User.objects.all()] == [("Ana García", support)]


def test_a_user_who_was_suspended_meanwhile_changes_and_counts_nothing(ana: User) -> None:
    users.suspend(User.objects.get(), actor=None)
    with pytest.raises(TokenNotValid):
        rename(ana, "Ana García")
    assert User.objects.get().full_name == "Ana"
    assert not RateBucket.objects.exists()
    assert not AuditEvent.objects.filter(kind="user:changed").exists()


def test_a_user_who_was_deleted_meanwhile_is_rejected(ana: User) -> None:
    User.objects.all().delete()
    with pytest.raises(TokenNotValid):
        rename(ana, "Ana García")
    assert not RateBucket.objects.exists()


def test_above_the_limit_nothing_changes_and_one_event_tells(ana: User) -> None:
    for number in range(3):
        rename(ana, f"Ana {number}")
    for _attempt in range(2):
        with pytest.raises(Throttled):
            rename(ana, "Ana García")
    assert User.objects.get().full_name == "Ana 2"
    assert RateBucket.objects.get().hits == 3
    assert AuditEvent.objects.filter(kind="limit:reached", user_id=ana.pk).count() == 1
    assert AuditEvent.objects.filter(kind="user:changed").count() == 1


def test_the_same_values_change_nothing_but_count(ana: User) -> None:
    before = User.objects.get().updated_at
    rename(ana, "Ana")
    assert User.objects.get().updated_at == before
    assert RateBucket.objects.get().hits == 1
    assert not AuditEvent.objects.exists()


def test_a_change_with_another_field_counts_once(ana: User) -> None:
    users.update(ana, actor=ana, full_name="Ana García", metadata={"plan": "pro"})
    assert User.objects.get().metadata == {"plan": "pro"}
    assert RateBucket.objects.get().hits == 1
