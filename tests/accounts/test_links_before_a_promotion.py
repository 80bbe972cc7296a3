"""A link that was mailed to a user proves no more than the user could do then: other permissions end it."""

from collections.abc import Callable

import pytest
from django.db import transaction

from accounts import invitations, login, role_changes, tokens, users
from accounts.errors import InvalidToken
from accounts.invitations import State
from accounts.models import OneTimeToken, Role, Session, User
from accounts.models.identifiers import new_id
from accounts.tokens import Purpose
from notifications.models import OutboxMail
from tests.conftest import PASSWORD

every_purpose = pytest.mark.parametrize("purpose", list(Purpose))


def _enrich_and_assign(user: User) -> None:
    """By way of a second role, whose own time says nothing of what the user gained before."""
    role_changes.update(user.role, actor=None, permissions=["app.use", "users.view"])
    users.set_role(user, Role.objects.get(name="agent"), actor=None)


PROMOTIONS: dict[str, Callable[[User], object]] = {
    "another role": lambda user: users.set_role(user, Role.objects.get(name="agent"), actor=None),
    "the admin's role": lambda user: users.set_role(user, Role.objects.get(name="admin"), actor=None),
    "a richer role": lambda user: role_changes.update(user.role, actor=None, permissions=["app.use", "users.view"]),
    "a role that has become richer": _enrich_and_assign,
}
HARMLESS: dict[str, Callable[[User], object]] = {
    "a role without permissions": lambda user: users.set_role(user, Role.objects.get(name="user"), actor=None),
    "a poorer role": lambda user: role_changes.update(user.role, actor=None, permissions=[]),
    "another name": lambda user: role_changes.update(user.role, actor=None, name="other", description="Other"),
    "the same permissions": lambda user: role_changes.update(user.role, actor=None, permissions=["app.use"]),
    "another's role": lambda user: role_changes.update(
        Role.objects.get(name="agent"), actor=None, permissions=["users.view", "users.add"]
    ),
    "another language": lambda user: users.update(user, actor=None, locale="es"),
}


@pytest.fixture
def hugo(person: Callable[..., User], role: Callable[..., Role]) -> User:
    role("agent", "users.view")
    role("helper", "app.use")
    return person("hugo", role="helper")


def mailed(user: User, purpose: Purpose) -> str:
    return tokens.issue(user, purpose, request=new_id(), email=user.email)


@every_purpose
@pytest.mark.parametrize("promotion", PROMOTIONS.values(), ids=PROMOTIONS)
def test_other_permissions_end_it(promotion: Callable[[User], object], purpose: Purpose, hugo: User) -> None:
    secret = mailed(hugo, purpose)
    found = tokens.find(secret, purpose)
    promotion(hugo)
    for look in (tokens.find, tokens.find_also_used):
        with pytest.raises(InvalidToken):
            look(secret, purpose)
    with pytest.raises(InvalidToken):
        tokens.consume(found)
    assert tokens.find(mailed(hugo, purpose), purpose).user == hugo


@every_purpose
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_anything_else_leaves_it(change: Callable[[User], object], purpose: Purpose, hugo: User) -> None:
    secret = mailed(hugo, purpose)
    change(hugo)
    tokens.consume(tokens.find(secret, purpose))


@pytest.mark.parametrize("promotion", PROMOTIONS.values(), ids=PROMOTIONS)
def test_an_email_that_is_sent_again_afterwards_brings_one_that_works(
    promotion: Callable[[User], object], hugo: User
) -> None:
    """The first attempt may have failed: the user waits for this email."""
    request = new_id()
    tokens.issue(hugo, Purpose.PASSWORD_RESET, request=request, email=hugo.email)
    promotion(hugo)
    secret = tokens.issue(hugo, Purpose.PASSWORD_RESET, request=request, email=hugo.email)
    assert tokens.find(secret, Purpose.PASSWORD_RESET).user == hugo


def test_a_role_gains_permissions_without_a_write_to_its_users(hugo: User) -> None:
    """A million users may have it."""
    mailed(hugo, Purpose.PASSWORD_RESET)
    before = [[*table.objects.values()] for table in (User, OneTimeToken)]
    role_changes.update(hugo.role, actor=None, permissions=["app.use", "users.view"])
    assert [[*table.objects.values()] for table in (User, OneTimeToken)] == before


def test_a_role_that_gains_while_the_link_is_used_comes_first(database: str) -> None:
    """Outside pytest's transaction, on each database: the role gains while a password is being hashed for a link."""
    role = Role.objects.create(name="late", permissions=[])
    ida = User(email="ida@example.com", role=role)
    ida.set_password(PASSWORD)
    ida.save()
    with transaction.atomic():
        secret = mailed(ida, Purpose.PASSWORD_RESET)
    found = tokens.find(secret, Purpose.PASSWORD_RESET)
    role_changes.update(role, actor=None, permissions=["users.view"])
    with pytest.raises(InvalidToken), transaction.atomic():
        tokens.consume(found)
    assert OneTimeToken.objects.get(pk=found.pk).used_at is None
    with transaction.atomic():
        tokens.consume(tokens.find(mailed(ida, Purpose.PASSWORD_RESET), Purpose.PASSWORD_RESET))


class TestInvitations:
    @pytest.fixture
    def dora(self, root: User, hugo: User) -> User:
        return users.create("dora@example.com", actor=root, role=hugo.role)

    @staticmethod
    def link(user: User) -> str:
        mail = OutboxMail.objects.filter(user=user, kind="invitation", state="owed").latest("id")
        return tokens.issue(user, Purpose.INVITATION, request=mail.pk, email=user.email)

    def test_one_into_a_role_works(self, dora: User) -> None:
        assert invitations.state(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).role.name == "helper"

    def test_another_role_mails_it_again(self, root: User, dora: User) -> None:
        old = self.link(dora)
        users.set_role(dora, Role.objects.get(name="agent"), actor=root)
        with pytest.raises(InvalidToken):
            invitations.accept(old, PASSWORD)
        assert invitations.state(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).role.name == "agent"

    def test_a_role_that_gains_permissions_lets_it_expire(self, root: User, dora: User) -> None:
        old = self.link(dora)
        role_changes.update(dora.role, actor=root, permissions=["users.view"])
        with pytest.raises(InvalidToken):
            invitations.accept(old, PASSWORD)
        for state in State:
            assert invitations.in_state(User.objects.filter(pk=dora.pk), state).exists() == (state == State.EXPIRED)
        invitations.invite(dora, actor=root)
        assert invitations.state(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).pk == dora.pk


def test_the_first_admin_takes_over_an_account_with_its_sessions_and_links(hugo: User) -> None:
    """A stranger may have registered ADMIN_EMAIL before there was an administrator."""
    secret = mailed(hugo, Purpose.PASSWORD_RESET)
    login.open_session(hugo)
    users.ensure_first_admin(hugo.email, "four quiet admins nodding")
    assert not Session.objects.filter(user=hugo).alive().exists()
    with pytest.raises(InvalidToken):
        tokens.find(secret, Purpose.PASSWORD_RESET)
    assert User.objects.administrators().get() == hugo
