"""An operator changes, suspends and promotes users with `manage.py users`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from accounts import login
from accounts.limits import rate_limits
from accounts.mfa import proofs
from accounts.models import RateBucket, Role, Session, User
from accounts.signals import user_suspended
from tests.accounts.test_command_users import failure, last_event, listed, users


@pytest.fixture
def stored() -> Callable[[User], User]:
    """Returns a function that reads the user from the database."""
    return lambda user: User.objects.select_related("role").get(pk=user.pk)


class TestChanging:
    def test_suspends_with_a_reason_and_activates_again(self, ana: User, stored: Callable[[User], User]) -> None:
        received: list[User] = []

        def receive(user: User, **_others: Any) -> None:
            received.append(user)

        login.open_session(ana, proofs.PASSWORD)
        user_suspended.connect(receive)
        try:
            assert users("suspend", "ana@example.com", "--reason", "Chargeback") == "ana@example.com is suspended.\n"
        finally:
            user_suspended.disconnect(receive)
        assert not stored(ana).is_active
        assert received == [ana]
        assert not Session.objects.active().exists()
        assert last_event("user:suspended").data == {}
        assert users("activate", str(ana.pk)) == "ana@example.com is active.\n"
        assert stored(ana).is_active

    def test_suspends_until_a_time_and_shows_it(self, ana: User) -> None:
        printed = users("suspend", "ana@example.com", "--reason", "Chargeback", "--until", "2040-01-31T13:00+01:00")
        assert printed == "ana@example.com is suspended until 2040-01-31 12:00 UTC.\n"
        shown = json.loads(users("show", "ana@example.com", "--json"))
        assert (shown["suspended_until"], shown["suspension_reason"]) == ("2040-01-31T12:00:00Z", "Chargeback")

    @pytest.mark.parametrize("until", ["tomorrow", "2040-13-01", "9999-12-31T23:59:59-12:00", "2020-01-01"])
    def test_rejects_an_invalid_end(self, ana: User, stored: Callable[[User], User], until: str) -> None:
        failure("suspend", "ana@example.com", "--until", until)
        assert stored(ana).is_active

    def test_unlocks(self, ana: User, settings: Any) -> None:
        settings.RATE_LIMITS = True
        rate_limits.consume([rate_limits.Attempt("login", "x", settings.RATE_LOGIN, account=ana.email_key)])
        users("unlock", "ana@example.com")
        assert not RateBucket.objects.exists()
        assert last_event("user:unlocked").user_id == ana.pk

    def test_gives_another_role(self, ana: User, role: Callable[..., Role], stored: Callable[[User], User]) -> None:
        role("support", "users.view")
        assert users("set-role", "ana@example.com", "support") == "ana@example.com has the role support.\n"
        assert stored(ana).role.name == "support"

    def test_invites_only_a_user_without_a_password(self, ana: User, person: Callable[..., User]) -> None:
        assert failure("invite", "ana@example.com")[0] == 1
        dora = person("dora")
        dora.set_password(None)
        dora.save(update_fields=["password"])
        assert users("invite", "dora@example.com") == "An invitation to dora@example.com will be sent.\n"
        assert last_event("user:invited").user_id == dora.pk

    def test_revokes_an_open_invitation(self, ana: User) -> None:
        users("create", "dora@example.com")
        printed = users("revoke-invitation", "dora@example.com")
        assert printed == "The invitation of dora@example.com is revoked.\n"
        assert listed("--invitation", "revoked") == ["dora@example.com"]
        assert failure("revoke-invitation", "ana@example.com") == (1, "There is no open invitation.")

    @pytest.mark.parametrize(
        "words",
        [
            ["suspend", "root@example.com"],
            ["set-role", "root@example.com", "user"],
            ["delete", "root@example.com", "--yes"],
        ],
    )
    def test_keeps_the_last_administrator(self, root: User, stored: Callable[[User], User], words: list[str]) -> None:
        assert failure(*words) == (1, "This is the last active administrator.")
        assert stored(root).is_active
        assert stored(root).role.is_admin
