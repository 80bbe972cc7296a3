"""Deleting a user with many rows: other transactions write between the slices, and the process may die between them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts import audit, deletion, login, passwords, permissions, pruning, sessions, users
from accounts.audit import chain
from accounts.errors import InvalidCredentials, NotFound
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import AuditEvent, OneTimeToken, Role, Session, User
from notifications.models import OutboxMail
from tests.conftest import PASSWORD

EVENTS, SLICE = 7, 3


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[None]:
    monkeypatch.setattr(pruning, "BATCH_SIZE", SLICE)
    yield
    connections.close_all()


@pytest.fixture
def root() -> User:
    users.ensure_first_admin("root@example.com", PASSWORD)
    return User.objects.get(role__name=permissions.ADMIN)


@pytest.fixture
def ana() -> User:
    return _someone("ana@example.com")


def _someone(email: str) -> User:
    user = users.create(email, actor=None, password=PASSWORD, email_verified=True)
    for _number in range(EVENTS):
        sessions.create(user, proofs.PASSWORD)
        passwords.request_reset(email)
    audit.record_all("login:failed", [user] * EVENTS, actor=None)
    return user


def _signed_in(user: User) -> APIClient:
    session, _refresh = login.open_session(user, proofs.PASSWORD)
    return APIClient(headers={"Authorization": f"Bearer {access_tokens.issue(session)}"})


def _panel_of(root: User) -> Client:
    browser = Client()
    browser.post("/admin/login/", {"username": root.email, "password": PASSWORD})
    return browser


def _delete_own_account(root: User, ana: User) -> None:
    answer = _signed_in(ana).delete("/api/v1/users/me/", {"current_password": PASSWORD}, format="json")
    assert answer.status_code == 204


def _delete_with_the_api(root: User, ana: User) -> None:
    assert _signed_in(root).delete(f"/api/v1/users/{ana.pk}/").status_code == 204


def _delete_in_the_panel(root: User, ana: User) -> None:
    _panel_of(root).post(reverse("admin:accounts_user_delete", args=[ana.pk]), {"post": "yes"})


def _delete_with_a_bulk_action(root: User, ana: User) -> None:
    chosen = {"action": "delete_for_good", "_selected_action": [str(ana.pk)], "confirmed": "yes"}
    _panel_of(root).post(reverse("admin:accounts_user_changelist"), chosen)


def _delete_with_the_command(root: User, ana: User) -> None:
    call_command("users", "delete", ana.email, "--yes")


WAYS = [
    _delete_own_account,
    _delete_with_the_api,
    _delete_in_the_panel,
    _delete_with_a_bulk_action,
    _delete_with_the_command,
]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_delete_a_user_pauses_between_slices(
    way: Callable[[User, User], None], root: User, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[bool] = []
    monkeypatch.setattr(pruning, "_let_others_write", lambda _seconds: pauses.append(connection.in_atomic_block))
    way(root, ana)
    assert len(pauses) >= 3 * (EVENTS // SLICE)  # for sessions, emails and events
    assert not any(pauses)
    _is_gone(ana)
    assert chain.verify()


def _is_gone(user: User) -> None:
    assert not User.objects.filter(pk=user.pk).exists()
    for model in (Session, OneTimeToken):
        assert not model.objects.filter(user_id=user.pk).exists()
    assert not OutboxMail.objects.filter(email_key=user.email_key).exists()
    assert not AuditEvent.objects.filter(actor_id=user.pk).exclude(origin_salt="").exists()
    assert not AuditEvent.objects.filter(user_id=user.pk, actor_id=None).exclude(origin_salt="").exists()
    assert AuditEvent.objects.filter(user_id=user.pk, kind="user:deleted").count() == 1


class Death(BaseException):
    """The process dies here."""


def _delete_and_die(user: User) -> None:
    """Dies after the deletion at the latest."""
    users.delete(user, actor=None)
    raise Death


@pytest.mark.parametrize("step", range(1, 10, 2))
def test_prune_finishes_the_deletion_of_a_process_that_died(
    step: int, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = login.open_session(ana, proofs.PASSWORD)[1]
    steps = iter(range(1, step + 1))

    def die(_seconds: float) -> None:
        if next(steps, None) is None or step == 1:
            raise Death

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_let_others_write", die)
        with pytest.raises(Death):
            _delete_and_die(ana)
    chain.verify()
    if User.objects.filter(pk=ana.pk).exists():
        _is_locked_out(ana, refresh)
        assert deletion.finish_abandoned() == 0  # the process may still be running
        User.objects.update(deletion_began_at=timezone.now() - deletion.ABANDONED_AFTER - timedelta(seconds=1))
        assert deletion.finish_abandoned() == 1
    _is_gone(ana)
    chain.verify()


def _is_locked_out(user: User, refresh: str) -> None:
    with pytest.raises(InvalidCredentials):
        login.log_in(user.email, PASSWORD)
    with pytest.raises(Exception, match="token_not_valid"):
        login.refresh(refresh)
    for use_case in (users.activate, users.unlock, users.delete):
        with pytest.raises(NotFound):
            use_case(user, actor=None)


def test_a_rejected_deletion_deletes_nothing(root: User) -> None:
    before = Session.objects.count(), AuditEvent.objects.count()
    with pytest.raises(Exception, match="last_admin"):
        users.delete(root, actor=root)
    assert (Session.objects.count(), AuditEvent.objects.count()) == before
    assert User.objects.get(pk=root.pk).deletion_began_at is None


def test_a_deletion_holds_no_lock_between_slices(ana: User, settings: Settings) -> None:
    """Another connection writes between two slices."""
    assert Role.objects.exists()
    written: list[Any] = []

    def write(_seconds: float) -> None:
        with connection.copy().cursor() as cursor:
            cursor.execute("UPDATE accounts_role SET description = 'x'")
            written.append(cursor.rowcount)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruning, "_let_others_write", write)
        users.delete(ana, actor=None)
    assert written
    assert all(written)
