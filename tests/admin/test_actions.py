"""The actions on a user's page: each performs the same use case as the API, and requires its permission."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts import login, users
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from notifications.models import OutboxMail

Panel = Callable[[User], Client]

ACTIONS = ("invite", "uninvite", "confirmation", "reset", "unlock", "sign-out", "activate", "suspend")


def press(client: Client, user: User, action: str, **form: str) -> str:
    answer = client.post(reverse("admin:accounts_user_action", args=[user.pk, action]), form, follow=True)
    return answer.content.decode()


def buttons(client: Client, user: User) -> list[str]:
    seen = client.get(reverse("admin:accounts_user_change", args=[user.pk])).content.decode()
    return [action for action in ACTIONS if reverse("admin:accounts_user_action", args=[user.pk, action]) in seen]


def last_event() -> AuditEvent:
    return AuditEvent.objects.latest("id")


@pytest.mark.parametrize(("action", "kind"), [("reset", "password:reset_requested"), ("unlock", "user:unlocked")])
def test_an_action_is_audited_like_its_use_case(
    carla: User, ana: User, panel_of: Panel, action: str, kind: str
) -> None:
    press(panel_of(carla), ana, action)
    assert (last_event().kind, last_event().actor_id) == (kind, carla.pk)
    assert [mail.kind for mail in OutboxMail.objects.all()] == (["password_reset"] if action == "reset" else [])


def test_messages_need_no_cookie_of_their_own(carla: User, ana: User, panel_of: Panel) -> None:
    """A message cookie would be the only one without the `__Host-` prefix, which keeps other hosts from setting it."""
    client = panel_of(carla)
    client.post(reverse("admin:accounts_user_action", args=[ana.pk, "reset"]))
    assert set(client.cookies) <= {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    assert "A reset link was sent." in client.get(f"/admin/accounts/user/{ana.pk}/change/").content.decode()


def test_the_confirmation_is_sent_again(carla: User, person: Callable[..., User], panel_of: Panel) -> None:
    dora = person("dora", email_verified=False)
    assert "A confirmation link was sent." in press(panel_of(carla), dora, "confirmation")
    assert OutboxMail.objects.get().kind == "verify_email"
    event = last_event()
    assert (event.kind, event.user_id, event.actor_id) == ("email:verification_requested", dora.pk, carla.pk)


def test_only_a_user_without_a_password_is_invited_again(carla: User, ana: User, panel_of: Panel) -> None:
    dora = users.create("dora@example.com", actor=None)
    client = panel_of(carla)
    assert "The invitation was sent." in press(client, dora, "invite")
    assert OutboxMail.objects.filter(kind="invitation").count() == 2
    assert "Only an active user without a password can be invited." in press(client, ana, "invite")
    assert OutboxMail.objects.filter(user=ana).count() == 0


def test_a_user_is_suspended_with_a_reason_and_activated(carla: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    login.open_session(ana, proofs.PASSWORD)
    press(client, ana, "suspend", reason=" Chargeback ")
    ana.refresh_from_db()
    assert not ana.is_active
    assert not ana.sessions.active().exists()
    assert ana.suspension_reason == "Chargeback"
    assert AuditEvent.objects.get(kind="user:suspended").data == {}
    press(client, ana, "activate")
    ana.refresh_from_db()
    assert ana.is_active


def test_a_suspension_has_an_end(carla: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    press(client, ana, "suspend", reason="Holiday", until="2999-12-31T08:00")
    ana.refresh_from_db()
    assert ana.suspended_until == datetime(2999, 12, 31, 8, tzinfo=UTC)
    page = client.get(reverse("admin:accounts_user_change", args=[ana.pk])).content.decode()
    assert "Suspended: Holiday" in page
    assert "Until Dec. 31, 2999" in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"until": "2001-01-01T00:00"}, "Choose a time in the future."),
        ({"until": "soon"}, "Enter a valid date/time."),
        ({"reason": "x" * 251}, "at most 250 characters"),
        ({"reason": "Charge\tback"}, "Reasons can&#x27;t contain control characters."),
        ({"reason": "Charge\x07back"}, "Reasons can&#x27;t contain control characters."),
    ],
)
def test_an_invalid_end_or_reason_suspends_no_user(
    carla: User, ana: User, panel_of: Panel, form: dict[str, str], words: str
) -> None:
    assert words in press(panel_of(carla), ana, "suspend", **form)
    ana.refresh_from_db()
    assert ana.is_active


def test_an_invitation_is_revoked(carla: User, panel_of: Panel) -> None:
    dora = users.create("dora@example.com", actor=None)
    client = panel_of(carla)
    assert "Invitation revoked" in press(client, dora, "uninvite")
    assert last_event().kind == "user:invitation_revoked"
    assert buttons(client, dora) == ["invite", "suspend"]


def test_one_session_is_ended_or_all_are(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    first, second, third = (login.open_session(ana, proofs.PASSWORD)[0] for _time in range(3))
    client.post(reverse("admin:accounts_user_end_session", args=[ana.pk, second.pk]))
    assert set(ana.sessions.active()) == {first, third}
    assert last_event().kind == "session:revoked"
    press(client, ana, "sign-out")
    assert not ana.sessions.active().exists()


def test_a_session_cannot_be_ended_on_the_page_of_another_user(
    root: User, ana: User, bruno: User, panel_of: Panel
) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    address = reverse("admin:accounts_user_end_session", args=[bruno.pk, session.pk])
    assert panel_of(root).post(address).status_code == 404
    session.refresh_from_db()
    assert session.is_active


def test_the_last_admin_is_not_suspended(root: User, panel_of: Panel) -> None:
    assert "This is the last active administrator." in press(panel_of(root), root, "suspend")
    root.refresh_from_db()
    assert root.is_active


def test_a_page_offers_only_applicable_actions(
    root: User, ana: User, person: Callable[..., User], panel_of: Panel
) -> None:
    client = panel_of(root)
    assert buttons(client, ana) == ["reset", "unlock", "suspend"]
    login.open_session(ana, proofs.PASSWORD)
    assert "sign-out" in buttons(client, ana)
    assert buttons(client, person("dora", is_active=False)) == ["activate"]
    assert buttons(client, person("emil", email_verified=False)) == ["confirmation", "reset", "unlock", "suspend"]
    assert buttons(client, users.create("fay@example.com", actor=None)) == ["invite", "uninvite", "suspend"]


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_requires_its_permission(
    person: Callable[..., User], role: Callable[..., Role], ana: User, panel_of: Panel, action: str
) -> None:
    role("viewer", "users.view", "sessions.view")
    client = panel_of(person("vera", role="viewer"))
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    assert buttons(client, ana) == []
    before = AuditEvent.objects.count()
    assert client.post(reverse("admin:accounts_user_action", args=[ana.pk, action])).status_code == 403
    assert client.post(reverse("admin:accounts_user_end_session", args=[ana.pk, session.pk])).status_code == 403
    assert AuditEvent.objects.count() == before
    assert session in ana.sessions.active()


@pytest.mark.parametrize("action", ["reset", "unlock", "suspend", "activate"])
def test_no_action_on_a_user_with_more_permissions(carla: User, root: User, panel_of: Panel, action: str) -> None:
    client = panel_of(carla)
    assert buttons(client, root) == []
    before = AuditEvent.objects.count()
    assert "You do not have permission to do this." in press(client, root, action)
    root.refresh_from_db()
    assert root.is_active
    assert AuditEvent.objects.count() == before
    assert not OutboxMail.objects.exists()


def test_a_get_request_does_nothing(root: User, ana: User, panel_of: Panel) -> None:
    assert panel_of(root).get(reverse("admin:accounts_user_action", args=[ana.pk, "suspend"])).status_code == 403
    ana.refresh_from_db()
    assert ana.is_active


def test_a_form_without_csrf_token_does_nothing(root: User, ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    assert client.post(reverse("admin:accounts_user_action", args=[ana.pk, "suspend"])).status_code == 403
    ana.refresh_from_db()
    assert ana.is_active


def test_unknown_actions_and_users_are_rejected(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert client.post(reverse("admin:accounts_user_action", args=[ana.pk, "promote"])).status_code == 403
    users.delete(ana, actor=None)
    assert client.post(reverse("admin:accounts_user_action", args=[ana.pk, "suspend"])).status_code == 404


def test_sessions_are_ended_from_their_list(root: User, ana: User, carla: User, panel_of: Panel) -> None:
    session, _refresh = login.open_session(ana, proofs.PASSWORD)
    form = {"action": "end", "_selected_action": [str(session.pk)]}
    address = reverse("admin:accounts_session_changelist")
    assert panel_of(carla).post(address, form).status_code == 403
    assert Session.objects.get(pk=session.pk).is_active
    assert "1 session ended." in panel_of(root).post(address, form, follow=True).content.decode()
    assert not Session.objects.get(pk=session.pk).is_active
