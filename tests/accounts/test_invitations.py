"""Inviting somebody: how the invitation stands, sending it again, taking it back, accepting it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import invitations, passwords, tokens, users
from accounts.errors import Conflict, InvalidToken, NotFound, PermissionDenied, TokenNotValid
from accounts.invitations import State
from accounts.models import AuditEvent, Role, User
from accounts.tokens import Purpose
from notifications import mails, outbox
from notifications.mails import NotWanted
from notifications.models import OutboxMail
from notifications.models import State as MailState
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused

WEEK = timedelta(days=7)


@pytest.fixture
def dora(root: User) -> User:
    """Invited by root a moment ago."""
    return users.create("dora@example.com", actor=root, full_name="Dora")


def mailed(user: User) -> str:
    """The secret of the link in the newest invitation that is owed to the user."""
    mail = OutboxMail.objects.filter(user=user, kind="invitation", state=MailState.OWED).latest("id")
    return tokens.issue(user, Purpose.INVITATION, request=mail.pk, email=mail.email)


def age(user: User, by: timedelta) -> None:
    User.objects.filter(pk=user.pk).update(invited_at=timezone.now() - by)
    user.one_time_tokens.update(expires_at=timezone.now() + WEEK - by)


def owed(user: User) -> list[tuple[str, str]]:
    return list(OutboxMail.objects.filter(user=user, state=MailState.OWED).values_list("kind", "email"))


def kinds(user: User) -> list[str]:
    return list(AuditEvent.objects.filter(user_id=user.pk).order_by("id").values_list("kind", flat=True))


def stored(user: User) -> User:
    return User.objects.get(pk=user.pk)


class TestItsState:
    def test_is_none_for_who_was_never_invited(self, ana: User) -> None:
        assert invitations.state(ana) == State.NONE

    def test_is_none_for_who_is_made_with_a_password_or_suspended(self, root: User) -> None:
        made = users.create("dora@example.com", actor=root, password=PASSWORD)
        asleep = users.create("emil@example.com", actor=root, is_active=False)
        assert [invitations.state(user) for user in (made, asleep)] == [State.NONE] * 2
        assert not OutboxMail.objects.filter(kind="invitation").exists()

    def test_is_sent_then_accepted(self, dora: User) -> None:
        assert invitations.state(dora) == State.SENT
        invitations.accept(mailed(dora), PASSWORD)
        assert invitations.state(dora) == State.ACCEPTED
        age(dora, WEEK)
        assert invitations.state(dora) == State.ACCEPTED

    def test_is_accepted_by_whoever_came_in_with_a_forgotten_password(self, dora: User) -> None:
        request = outbox.put("password_reset", email=dora.email)
        passwords.reset(tokens.issue(dora, Purpose.PASSWORD_RESET, request=request.pk, email=dora.email), PASSWORD)
        assert invitations.state(dora) == State.ACCEPTED

    def test_expires_with_its_link(self, dora: User) -> None:
        mailed(dora)
        age(dora, WEEK - timedelta(seconds=5))
        assert invitations.state(dora) == State.SENT
        age(dora, WEEK)
        assert invitations.state(dora) == State.EXPIRED

    def test_lasts_as_long_as_a_link_that_was_mailed_late(self, dora: User) -> None:
        age(dora, WEEK)
        assert invitations.state(dora) == State.EXPIRED
        mailed(dora)
        assert invitations.state(dora) == State.SENT

    def test_is_sent_anew_when_it_is_sent_again(self, dora: User, root: User) -> None:
        invitations.revoke(dora, actor=root)
        invitations.invite(dora, actor=root)
        assert invitations.state(dora) == State.SENT
        assert stored(dora).invited_at > dora.invited_at  # type: ignore[operator]

    def test_ends_with_the_links_of_somebody_who_is_suspended(self, dora: User) -> None:
        users.suspend(dora, actor=None)
        users.activate(dora, actor=None)
        assert invitations.state(dora) == State.REVOKED

    def test_is_one_of_all_users_and_narrows_a_list(
        self, dora: User, ana: User, root: User, client_of: Callable[[User], APIClient]
    ) -> None:
        expired = users.create("emil@example.com", actor=None)
        age(expired, WEEK)
        revoked = users.create("fina@example.com", actor=None)
        invitations.revoke(revoked, actor=None)
        accepted = users.create("gina@example.com", actor=None)
        invitations.accept(mailed(accepted), PASSWORD)
        expected = {dora: "sent", expired: "expired", revoked: "revoked", accepted: "accepted"}
        expected |= {ana: "none", root: "none"}
        assert {user: user.invitation for user in invitations.with_states(User.objects.all())} == expected  # type: ignore[attr-defined]
        client = client_of(root)
        for state in State:
            of_state = {user for user, its in expected.items() if its == state}
            assert set(invitations.in_state(User.objects.all(), state)) == of_state
            listed = client.get("/api/v1/users/", {"invitation": state}).json()["results"]
            assert {user["id"] for user in listed} == {str(user.pk) for user in of_state}

    def test_costs_one_query_for_a_list(self, dora: User, ana: User) -> None:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            list(invitations.with_states(User.objects.all()))
        assert len(queries) == 1


class TestSendingAgain:
    def test_ends_the_older_link(self, dora: User, root: User) -> None:
        older = mailed(dora)
        invitations.invite(dora, actor=root)
        newer = mailed(dora)
        with pytest.raises(InvalidToken):
            invitations.accept(older, PASSWORD)
        assert invitations.accept(newer, PASSWORD) == dora
        assert kinds(dora).count("user:invited") == 2

    def test_is_for_active_users_without_a_password(self, ana: User, dora: User) -> None:
        users.suspend(dora, actor=None)
        for user in (ana, dora):
            with pytest.raises(Conflict):
                invitations.invite(user, actor=None)
        assert owed(ana) == owed(dora) == []

    def test_judges_the_user_as_they_are_now(self, dora: User) -> None:
        as_it_was = stored(dora)
        invitations.accept(mailed(dora), PASSWORD)
        with pytest.raises(Conflict):
            invitations.invite(as_it_was, actor=None)

    def test_judges_the_actor_as_they_are_now(self, dora: User, carla: User) -> None:
        Role.objects.filter(name="user").update(permissions=["audit.view"])
        with pytest.raises(PermissionDenied):
            invitations.invite(dora, actor=carla)
        Role.objects.filter(name="user").update(permissions=[])
        users.suspend(carla, actor=None)
        with pytest.raises(TokenNotValid):
            invitations.invite(dora, actor=carla)
        assert kinds(dora).count("user:invited") == 1

    def test_finds_nobody_who_is_gone(self, dora: User) -> None:
        users.delete(dora, actor=None)
        with pytest.raises(NotFound):
            invitations.invite(dora, actor=None)

    def test_goes_to_the_new_address_when_that_is_corrected(self, dora: User, root: User) -> None:
        older = mailed(dora)
        users.update(dora, actor=root, email="dora@new.example")
        assert owed(dora) == [("email_changed", "dora@example.com"), ("invitation", "dora@new.example")]
        with pytest.raises(InvalidToken):
            invitations.accept(older, PASSWORD)
        assert invitations.state(dora) == State.SENT
        assert invitations.accept(mailed(stored(dora)), PASSWORD).email_verified


class TestRevoking:
    def test_kills_the_link_and_the_mail_that_is_owed(self, dora: User, root: User) -> None:
        secret = mailed(dora)
        invitations.revoke(dora, actor=root)
        with pytest.raises(InvalidToken):
            invitations.accept(secret, PASSWORD)
        assert owed(dora) == []
        assert invitations.state(dora) == State.REVOKED
        event = AuditEvent.objects.get(kind="user:invitation_revoked")
        assert (event.user_id, event.actor_id) == (dora.pk, root.pk)
        assert not stored(dora).has_usable_password()

    @pytest.mark.parametrize("kind", ["invitation", "password_reset"])
    def test_leaves_no_other_way_to_a_password(self, dora: User, kind: str) -> None:
        """A mail that somebody has sent again by hand, and a forgotten password."""
        invitations.revoke(dora, actor=None)
        mail = outbox.claim(outbox.put(kind, email=dora.email, user=dora).pk)
        assert mail
        with pytest.raises(NotWanted, match=r"revoked"):
            mails.compose(mail)
        assert not dora.one_time_tokens.exists()

    def test_ends_a_reset_link_that_was_mailed_before(self, dora: User) -> None:
        request = outbox.put("password_reset", email=dora.email)
        secret = tokens.issue(dora, Purpose.PASSWORD_RESET, request=request.pk, email=dora.email)
        invitations.revoke(dora, actor=None)
        with pytest.raises(InvalidToken):
            passwords.reset(secret, PASSWORD)

    def test_may_be_done_to_an_expired_one(self, dora: User) -> None:
        age(dora, WEEK)
        invitations.revoke(dora, actor=None)
        assert invitations.state(dora) == State.REVOKED

    @pytest.mark.parametrize("standing", ["none", "accepted", "revoked"])
    def test_is_refused_without_an_open_one(self, dora: User, ana: User, standing: str) -> None:
        user = ana if standing == "none" else dora
        if standing == "accepted":
            invitations.accept(mailed(dora), PASSWORD)
        elif standing == "revoked":
            invitations.revoke(dora, actor=None)
        before = AuditEvent.objects.count()
        with pytest.raises(Conflict):
            invitations.revoke(user, actor=None)
        assert invitations.state(user) == standing
        assert AuditEvent.objects.count() == before

    def test_takes_nobody_who_holds_more(self, root: User, carla: User) -> None:
        boss = users.create("boss@example.com", actor=root, role=root.role)
        with pytest.raises(PermissionDenied):
            invitations.revoke(boss, actor=carla)
        assert invitations.state(boss) == State.SENT


class TestAccepting:
    def test_proves_the_address_and_takes_a_name(self, dora: User) -> None:
        accepted = invitations.accept(mailed(dora), PASSWORD, full_name="Dora D.")
        assert stored(accepted).check_password(PASSWORD)
        assert (stored(accepted).email_verified, stored(accepted).full_name) == (True, "Dora D.")
        assert kinds(dora)[-1] == "user:invitation_accepted"

    def test_keeps_the_name_without_one(self, dora: User) -> None:
        secret = mailed(dora)
        users.update(dora, actor=None, full_name="Dora Diaz")
        invitations.accept(secret, PASSWORD, full_name="")
        assert stored(dora).full_name == "Dora Diaz"

    def test_is_done_once(self, dora: User) -> None:
        secret = mailed(dora)
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
        assert (again.status_code, again.json()) == (202, {"detail": "A mail is on its way."})
        assert client.delete(path).status_code == 204
        shown = client.get(path).json()
        assert (shown["state"], shown["invited_at"][:10]) == ("revoked", f"{timezone.now():%Y-%m-%d}")
        refused(client.delete(path), 409, "conflict")

    @pytest.fixture
    def viewer(self, person: Callable[..., User], role: Callable[..., Role]) -> User:
        role("viewer", "users.view")
        return person("vera", role="viewer")

    def test_is_for_those_who_may_change_users(
        self, dora: User, ana: User, viewer: User, path: str, client_of: Callable[[User], APIClient]
    ) -> None:
        assert client_of(viewer).get(path).status_code == 200
        for verb in ("post", "delete"):
            refused(getattr(client_of(viewer), verb)(path), 403, "permission_denied")
            refused(getattr(client_of(ana), verb)(path), 404, "not_found")
            refused(getattr(APIClient(), verb)(path), 401, "not_authenticated")
        assert kinds(dora).count("user:invited") == 1
        assert invitations.state(dora) == State.SENT
