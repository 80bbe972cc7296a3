"""Invitations: their state, sending them again, revoking and accepting them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import invitations, one_time_tokens, passwords, users
from accounts.errors import Conflict, InvalidToken, NotFound, PermissionDenied, TokenNotValid
from accounts.invitations import State
from accounts.models import AuditEvent, Role, User
from accounts.one_time_tokens import Purpose
from notifications import outbox
from notifications.content.composing import Obsolete
from notifications.models import OutboxMail
from notifications.models import State as MailState
from notifications.sending import delivery
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

WEEK = timedelta(days=7)


@pytest.fixture
def dora(root: User) -> User:
    """A user whom root has just invited."""
    return users.create("dora@example.com", actor=root, full_name="Dora")


def token_for(user: User) -> str:
    """Issues the token of the user's newest pending invitation, as the sender of the email does."""
    mail = OutboxMail.objects.filter(user=user, kind="invitation", state=MailState.PENDING).latest("id")
    return one_time_tokens.issue(user, Purpose.INVITATION, request=mail.pk, email=mail.email)


def age(user: User, by: timedelta) -> None:
    User.objects.filter(pk=user.pk).update(invited_at=timezone.now() - by)
    user.one_time_tokens.update(expires_at=timezone.now() + WEEK - by)


def pending(user: User) -> list[tuple[str, str]]:
    return list(OutboxMail.objects.filter(user=user, state=MailState.PENDING).values_list("kind", "email"))


def kinds(user: User) -> list[str]:
    return list(AuditEvent.objects.filter(user_id=user.pk).order_by("id").values_list("kind", flat=True))


def stored(user: User) -> User:
    return User.objects.get(pk=user.pk)


class TestItsState:
    def test_is_none_for_a_user_who_was_never_invited(self, ana: User) -> None:
        assert invitations.state_of(ana) == State.NONE

    def test_is_none_for_a_user_created_with_a_password_or_suspended(self, root: User) -> None:
        made = users.create("dora@example.com", actor=root, password=PASSWORD)
        suspended = users.create("emil@example.com", actor=root, is_active=False)
        assert [invitations.state_of(user) for user in (made, suspended)] == [State.NONE] * 2
        assert not OutboxMail.objects.filter(kind="invitation").exists()

    def test_is_sent_then_accepted(self, dora: User) -> None:
        assert invitations.state_of(dora) == State.SENT
        invitations.accept(token_for(dora), PASSWORD)
        assert invitations.state_of(dora) == State.ACCEPTED
        age(dora, WEEK)
        assert invitations.state_of(dora) == State.ACCEPTED

    def test_is_accepted_by_a_reset_of_the_password(self, dora: User) -> None:
        request = outbox.enqueue("password_reset", email=dora.email)
        passwords.reset(
            one_time_tokens.issue(dora, Purpose.PASSWORD_RESET, request=request.pk, email=dora.email), PASSWORD
        )
        assert invitations.state_of(dora) == State.ACCEPTED

    def test_expires_with_its_link(self, dora: User) -> None:
        token_for(dora)
        age(dora, WEEK - timedelta(seconds=5))
        assert invitations.state_of(dora) == State.SENT
        age(dora, WEEK)
        assert invitations.state_of(dora) == State.EXPIRED

    def test_lasts_as_long_as_a_link_that_was_emailed_late(self, dora: User) -> None:
        age(dora, WEEK)
        assert invitations.state_of(dora) == State.EXPIRED
        token_for(dora)
        assert invitations.state_of(dora) == State.SENT

    def test_is_sent_after_it_is_sent_again(self, dora: User, root: User) -> None:
        invitations.revoke(dora, actor=root)
        invitations.invite(dora, actor=root)
        assert invitations.state_of(dora) == State.SENT
        assert stored(dora).invited_at > dora.invited_at  # type: ignore[operator]

    def test_is_revoked_by_a_suspension(self, dora: User) -> None:
        users.suspend(dora, actor=None)
        users.activate(dora, actor=None)
        assert invitations.state_of(dora) == State.REVOKED

    def test_exists_for_each_user_and_filters_lists(
        self, dora: User, ana: User, root: User, client_of: Callable[[User], APIClient]
    ) -> None:
        expired = users.create("emil@example.com", actor=None)
        age(expired, WEEK)
        revoked = users.create("fina@example.com", actor=None)
        invitations.revoke(revoked, actor=None)
        accepted = users.create("gina@example.com", actor=None)
        invitations.accept(token_for(accepted), PASSWORD)
        expected = {dora: "sent", expired: "expired", revoked: "revoked", accepted: "accepted"}
        expected |= {ana: "none", root: "none"}
        assert {user: user.invitation_state for user in invitations.annotate_state(User.objects.all())} == expected  # type: ignore[attr-defined]
        client = client_of(root)
        for state in State:
            of_state = {user for user, expected_state in expected.items() if expected_state == state}
            assert set(invitations.filter_by_state(User.objects.all(), state)) == of_state
            listed = client.get("/api/v1/users/", {"invitation": state}).json()["results"]
            assert {user["id"] for user in listed} == {str(user.pk) for user in of_state}

    def test_costs_one_query_for_a_list(self, dora: User, ana: User) -> None:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            list(invitations.annotate_state(User.objects.all()))
        assert len(queries) == 1


class TestSendingAgain:
    def test_ends_the_older_link(self, dora: User, root: User) -> None:
        older = token_for(dora)
        invitations.invite(dora, actor=root)
        newer = token_for(dora)
        with pytest.raises(InvalidToken):
            invitations.accept(older, PASSWORD)
        assert invitations.accept(newer, PASSWORD) == dora
        assert kinds(dora).count("user:invited") == 2

    def test_is_for_active_users_without_a_password(self, ana: User, dora: User) -> None:
        users.suspend(dora, actor=None)
        for user in (ana, dora):
            with pytest.raises(Conflict):
                invitations.invite(user, actor=None)
        assert pending(ana) == pending(dora) == []

    def test_reads_the_current_user(self, dora: User) -> None:
        as_it_was = stored(dora)
        invitations.accept(token_for(dora), PASSWORD)
        with pytest.raises(Conflict):
            invitations.invite(as_it_was, actor=None)

    def test_reads_the_current_permissions_of_the_actor(self, dora: User, carla: User) -> None:
        Role.objects.filter(name="user").update(permissions=["audit.view"])
        with pytest.raises(PermissionDenied):
            invitations.invite(dora, actor=carla)
        Role.objects.filter(name="user").update(permissions=[])
        users.suspend(carla, actor=None)
        with pytest.raises(TokenNotValid):
            invitations.invite(dora, actor=carla)
        assert kinds(dora).count("user:invited") == 1

    def test_does_not_find_a_deleted_user(self, dora: User) -> None:
        users.delete(dora, actor=None)
        with pytest.raises(NotFound):
            invitations.invite(dora, actor=None)

    def test_goes_to_the_new_address_after_a_correction(self, dora: User, root: User) -> None:
        older = token_for(dora)
        users.update(dora, actor=root, email="dora@new.example")
        assert pending(dora) == [("email_changed", "dora@example.com"), ("invitation", "dora@new.example")]
        with pytest.raises(InvalidToken):
            invitations.accept(older, PASSWORD)
        assert invitations.state_of(dora) == State.SENT
        assert invitations.accept(token_for(stored(dora)), PASSWORD).email_verified


class TestRevoking:
    def test_ends_the_link_and_cancels_the_pending_email(self, dora: User, root: User) -> None:
        secret = token_for(dora)
        invitations.revoke(dora, actor=root)
        with pytest.raises(InvalidToken):
            invitations.accept(secret, PASSWORD)
        assert pending(dora) == []
        assert invitations.state_of(dora) == State.REVOKED
        event = AuditEvent.objects.get(kind="user:invitation_revoked")
        assert (event.user_id, event.actor_id) == (dora.pk, root.pk)
        assert not stored(dora).has_usable_password()

    @pytest.mark.parametrize("kind", ["invitation", "password_reset"])
    def test_leaves_no_other_way_to_a_password(self, dora: User, kind: str) -> None:
        """An administrator sends the email again, or the user requests a reset link."""
        invitations.revoke(dora, actor=None)
        mail = outbox.claim(outbox.enqueue(kind, email=dora.email, user=dora).pk)
        assert mail
        with pytest.raises(Obsolete, match=r"revoked"):
            delivery.compose_with_token(mail)
        assert not dora.one_time_tokens.exists()

    def test_ends_a_reset_link_that_was_emailed_before(self, dora: User) -> None:
        request = outbox.enqueue("password_reset", email=dora.email)
        secret = one_time_tokens.issue(dora, Purpose.PASSWORD_RESET, request=request.pk, email=dora.email)
        invitations.revoke(dora, actor=None)
        with pytest.raises(InvalidToken):
            passwords.reset(secret, PASSWORD)

    def test_is_possible_for_an_expired_invitation(self, dora: User) -> None:
        age(dora, WEEK)
        invitations.revoke(dora, actor=None)
        assert invitations.state_of(dora) == State.REVOKED

    @pytest.mark.parametrize("state", ["none", "accepted", "revoked"])
    def test_is_rejected_without_an_open_invitation(self, dora: User, ana: User, state: str) -> None:
        user = ana if state == "none" else dora
        if state == "accepted":
            invitations.accept(token_for(dora), PASSWORD)
        elif state == "revoked":
            invitations.revoke(dora, actor=None)
        before = AuditEvent.objects.count()
        with pytest.raises(Conflict):
            invitations.revoke(user, actor=None)
        assert invitations.state_of(user) == state
        assert AuditEvent.objects.count() == before

    def test_needs_the_permissions_of_the_user(self, root: User, carla: User) -> None:
        boss = users.create("boss@example.com", actor=root, role=root.role)
        with pytest.raises(PermissionDenied):
            invitations.revoke(boss, actor=carla)
        assert invitations.state_of(boss) == State.SENT


class TestAccepting:
    def test_confirms_the_address_and_sets_the_name(self, dora: User) -> None:
        accepted = invitations.accept(token_for(dora), PASSWORD, full_name="Dora D.")
        assert stored(accepted).check_password(PASSWORD)
        assert (stored(accepted).email_verified, stored(accepted).full_name) == (True, "Dora D.")
        assert kinds(dora)[-1] == "user:invitation_accepted"

    def test_keeps_the_name_without_one(self, dora: User) -> None:
        secret = token_for(dora)
        users.update(dora, actor=None, full_name="Dora Diaz")
        invitations.accept(secret, PASSWORD, full_name="")
        assert stored(dora).full_name == "Dora Diaz"

    def test_is_done_once(self, dora: User) -> None:
        secret = token_for(dora)
        invitations.accept(secret, PASSWORD)
        with pytest.raises(InvalidToken):
            invitations.accept(secret, OTHER_PASSWORD)
        assert stored(dora).check_password(PASSWORD)


class TestOverHttp:
    @pytest.fixture
    def path(self, dora: User) -> str:
        return f"/api/v1/users/{dora.pk}/invite/"

    def test_shows_sends_again_and_revokes(
        self, dora: User, carla: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        client = client_of(carla)
        assert client.get(path).json()["state"] == "sent"
        again = client.post(path)
        assert (again.status_code, again.json()) == (202, {"detail": "The email is on its way."})
        assert client.delete(path).status_code == 204
        shown = client.get(path).json()
        assert (shown["state"], shown["invited_at"][:10]) == ("revoked", f"{timezone.now():%Y-%m-%d}")
        refused(client.delete(path), 409, "conflict")

    @pytest.fixture
    def viewer(self, person: Callable[..., User], role: Callable[..., Role]) -> User:
        role("viewer", "users.view")
        return person("vera", role="viewer")

    def test_needs_the_permission_to_change_users(
        self, dora: User, ana: User, viewer: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        assert client_of(viewer).get(path).status_code == 200
        for verb in ("post", "delete"):
            refused(getattr(client_of(viewer), verb)(path), 403, "permission_denied")
            refused(getattr(client_of(ana), verb)(path), 404, "not_found")
            refused(getattr(APIClient(), verb)(path), 401, "not_authenticated")
        assert kinds(dora).count("user:invited") == 1
        assert invitations.state_of(dora) == State.SENT
