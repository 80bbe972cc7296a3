"""An emailed link stops working when its user gets other permissions."""

from collections.abc import Callable

import pytest
from django.db import transaction

from accounts import invitations, login, one_time_tokens, roles, users
from accounts.errors import InvalidToken, SecondFactorRequired
from accounts.invitations import State
from accounts.mfa import proofs
from accounts.models import OneTimeToken, Role, Session, TotpSecret, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from notifications.models import OutboxMail
from tests.conftest import PASSWORD
from tests.second_factors import enrol

every_purpose = pytest.mark.parametrize("purpose", list(Purpose))


def _enrich_and_assign(user: User) -> None:
    """Changes a role and then assigns another one, whose own time doesn't show what the user gained before."""
    roles.update(user.role, actor=None, permissions=["app.use", "users.view"])
    users.set_role(user, Role.objects.get(name="agent"), actor=None)


PROMOTIONS: dict[str, Callable[[User], object]] = {
    "another role": lambda user: users.set_role(user, Role.objects.get(name="agent"), actor=None),
    "the admin's role": lambda user: users.set_role(user, Role.objects.get(name="admin"), actor=None),
    "a richer role": lambda user: roles.update(user.role, actor=None, permissions=["app.use", "users.view"]),
    "a role that has become richer": _enrich_and_assign,
}
HARMLESS: dict[str, Callable[[User], object]] = {
    "a role without permissions": lambda user: users.set_role(user, Role.objects.get(name="user"), actor=None),
    "a poorer role": lambda user: roles.update(user.role, actor=None, permissions=[]),
    "another name": lambda user: roles.update(user.role, actor=None, name="other", description="Other"),
    "the same permissions": lambda user: roles.update(user.role, actor=None, permissions=["app.use"]),
    "another's role": lambda user: roles.update(
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
    return one_time_tokens.issue(user, purpose, request=new_id(), email=user.email)


@every_purpose
@pytest.mark.parametrize("promotion", PROMOTIONS.values(), ids=PROMOTIONS)
def test_other_permissions_end_it(promotion: Callable[[User], object], purpose: Purpose, hugo: User) -> None:
    secret = mailed(hugo, purpose)
    found = one_time_tokens.find(secret, purpose)
    promotion(hugo)
    for look in (one_time_tokens.find, one_time_tokens.find_including_used):
        with pytest.raises(InvalidToken):
            look(secret, purpose)
    with pytest.raises(InvalidToken):
        one_time_tokens.consume(found)
    assert one_time_tokens.find(mailed(hugo, purpose), purpose).user == hugo


@every_purpose
@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_other_changes_leave_it(change: Callable[[User], object], purpose: Purpose, hugo: User) -> None:
    secret = mailed(hugo, purpose)
    change(hugo)
    one_time_tokens.consume(one_time_tokens.find(secret, purpose))


@pytest.mark.parametrize("promotion", PROMOTIONS.values(), ids=PROMOTIONS)
def test_an_email_that_is_sent_again_afterwards_brings_one_that_works(
    promotion: Callable[[User], object], hugo: User
) -> None:
    """The first attempt may have failed, and the user waits for this email."""
    request = new_id()
    one_time_tokens.issue(hugo, Purpose.PASSWORD_RESET, request=request, email=hugo.email)
    promotion(hugo)
    secret = one_time_tokens.issue(hugo, Purpose.PASSWORD_RESET, request=request, email=hugo.email)
    assert one_time_tokens.find(secret, Purpose.PASSWORD_RESET).user == hugo


def test_a_role_gains_permissions_without_a_write_to_its_users(hugo: User) -> None:
    """A million users may have the role."""
    mailed(hugo, Purpose.PASSWORD_RESET)
    before = [[*table.objects.values()] for table in (User, OneTimeToken)]
    roles.update(hugo.role, actor=None, permissions=["app.use", "users.view"])
    assert [[*table.objects.values()] for table in (User, OneTimeToken)] == before


def test_a_role_that_gains_while_the_link_is_used_comes_first(database: str) -> None:
    """Runs outside pytest's transaction, on each database. The role gains permissions while the password is hashed."""
    role = Role.objects.create(name="late", permissions=[])
    ida = User(email="ida@example.com", role=role)
    ida.set_password(PASSWORD)
    ida.save()
    with transaction.atomic():
        secret = mailed(ida, Purpose.PASSWORD_RESET)
    found = one_time_tokens.find(secret, Purpose.PASSWORD_RESET)
    roles.update(role, actor=None, permissions=["users.view"])
    with pytest.raises(InvalidToken), transaction.atomic():
        one_time_tokens.consume(found)
    assert OneTimeToken.objects.get(pk=found.pk).used_at is None
    with transaction.atomic():
        one_time_tokens.consume(one_time_tokens.find(mailed(ida, Purpose.PASSWORD_RESET), Purpose.PASSWORD_RESET))


class TestInvitations:
    @pytest.fixture
    def dora(self, root: User, hugo: User) -> User:
        return users.create("dora@example.com", actor=root, role=hugo.role)

    @staticmethod
    def link(user: User) -> str:
        mail = OutboxMail.objects.filter(user=user, kind="invitation", state="owed").latest("id")
        return one_time_tokens.issue(user, Purpose.INVITATION, request=mail.pk, email=user.email)

    def test_one_into_a_role_works(self, dora: User) -> None:
        assert invitations.state_of(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).role.name == "helper"

    def test_another_role_emails_it_again(self, root: User, dora: User) -> None:
        old = self.link(dora)
        users.set_role(dora, Role.objects.get(name="agent"), actor=root)
        with pytest.raises(InvalidToken):
            invitations.accept(old, PASSWORD)
        assert invitations.state_of(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).role.name == "agent"

    def test_a_role_that_gains_permissions_lets_it_expire(self, root: User, dora: User) -> None:
        old = self.link(dora)
        roles.update(dora.role, actor=root, permissions=["users.view"])
        with pytest.raises(InvalidToken):
            invitations.accept(old, PASSWORD)
        for state in State:
            assert invitations.filter_by_state(User.objects.filter(pk=dora.pk), state).exists() == (
                state == State.EXPIRED
            )
        invitations.invite(dora, actor=root)
        assert invitations.state_of(dora) == State.SENT
        assert invitations.accept(self.link(dora), PASSWORD).pk == dora.pk


def test_the_first_admin_takes_over_an_account_with_its_sessions_and_links(hugo: User) -> None:
    """Another person may have registered ADMIN_EMAIL before there was an administrator."""
    secret = mailed(hugo, Purpose.PASSWORD_RESET)
    login.open_session(hugo, proofs.PASSWORD)
    users.ensure_first_admin(hugo.email, "four quiet admins nodding")
    assert not Session.objects.filter(user=hugo).active().exists()
    with pytest.raises(InvalidToken):
        one_time_tokens.find(secret, Purpose.PASSWORD_RESET)
    assert User.objects.administrators().get() == hugo


def test_the_first_admin_keeps_the_second_factors_of_an_account(hugo: User) -> None:
    """Only the owner of a confirmed address can have added them."""
    enrol(hugo)
    password = users.ensure_first_admin(hugo.email) or ""
    with pytest.raises(SecondFactorRequired):
        login.log_in(hugo.email, password)
    assert TotpSecret.objects.filter(user=hugo).exists()
