"""The buttons on a user's page: each does what the API does, for those who may."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts import login, users
from accounts.models import AuditEvent, Role, Session, User
from notifications.models import OutboxMail

Panel = Callable[[User], Client]

DEEDS = ("invite", "uninvite", "confirmation", "reset", "unlock", "sign-out", "activate", "suspend")


def press(client: Client, user: User, deed: str, **form: str) -> str:
    answer = client.post(reverse("admin:accounts_user_do", args=[user.pk, deed]), form, follow=True)
    return answer.content.decode()


def buttons(client: Client, user: User) -> list[str]:
    seen = client.get(reverse("admin:accounts_user_change", args=[user.pk])).content.decode()
    return [deed for deed in DEEDS if reverse("admin:accounts_user_do", args=[user.pk, deed]) in seen]


def last_event() -> AuditEvent:
    return AuditEvent.objects.latest("id")


@pytest.mark.parametrize(("deed", "kind"), [("reset", "password:reset_requested"), ("unlock", "user:unlocked")])
def test_a_button_is_a_use_case(carla: User, ana: User, panel_of: Panel, deed: str, kind: str) -> None:
    press(panel_of(carla), ana, deed)
    assert (last_event().kind, last_event().actor_id) == (kind, carla.pk)
    assert [mail.kind for mail in OutboxMail.objects.all()] == (["password_reset"] if deed == "reset" else [])


def test_what_was_done_is_told_without_a_cookie_of_its_own(carla: User, ana: User, panel_of: Panel) -> None:
    """Which would be the only one without the prefix that browsers hold other hosts off by."""
    client = panel_of(carla)
    client.post(reverse("admin:accounts_user_do", args=[ana.pk, "reset"]))
    assert set(client.cookies) <= {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    assert "A reset link is on its way." in client.get(f"/admin/accounts/user/{ana.pk}/change/").content.decode()


def test_the_confirmation_is_sent_again(carla: User, person: Callable[..., User], panel_of: Panel) -> None:
    dora = person("dora", email_verified=False)
    assert "A confirmation link is on its way." in press(panel_of(carla), dora, "confirmation")
    assert OutboxMail.objects.get().kind == "verify_email"
    event = last_event()
    assert (event.kind, event.user_id, event.actor_id) == ("email:verification_requested", dora.pk, carla.pk)


def test_the_invitation_is_sent_again_to_those_who_have_no_password(carla: User, ana: User, panel_of: Panel) -> None:
    dora = users.create("dora@example.com", actor=None)
    client = panel_of(carla)
    assert "An invitation is on its way." in press(client, dora, "invite")
    assert OutboxMail.objects.filter(kind="invitation").count() == 2
    assert "Only an active user without a password can be invited." in press(client, ana, "invite")
    assert OutboxMail.objects.filter(user=ana).count() == 0


def test_somebody_is_suspended_with_a_reason_and_activated(carla: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    login.open_session(ana)
    press(client, ana, "suspend", reason=" Chargeback ")
    ana.refresh_from_db()
    assert not ana.is_active
    assert not ana.sessions.alive().exists()
    assert ana.suspension_reason == "Chargeback"
    assert AuditEvent.objects.get(kind="user:suspended").data == {}
    press(client, ana, "activate")
    ana.refresh_from_db()
    assert ana.is_active


def test_a_suspension_ends_when_it_was_said_to(carla: User, ana: User, panel_of: Panel) -> None:
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
        ({"until": "2001-01-01T00:00"}, "This time is over."),
        ({"until": "soon"}, "Enter a valid date/time."),
        ({"reason": "x" * 251}, "at most 250 characters"),
        ({"reason": "Charge\tback"}, "A reason has no control characters."),
        ({"reason": "Charge\x07back"}, "A reason has no control characters."),
    ],
)
def test_an_end_or_reason_that_cannot_be_suspends_nobody(
    carla: User, ana: User, panel_of: Panel, form: dict[str, str], words: str
) -> None:
    assert words in press(panel_of(carla), ana, "suspend", **form)
    ana.refresh_from_db()
    assert ana.is_active


def test_an_invitation_is_taken_back(carla: User, panel_of: Panel) -> None:
    dora = users.create("dora@example.com", actor=None)
    client = panel_of(carla)
    assert "Invitation taken back" in press(client, dora, "uninvite")
    assert last_event().kind == "user:invitation_revoked"
    assert buttons(client, dora) == ["invite", "suspend"]


def test_one_session_is_ended_or_all_are(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    first, second, third = (login.open_session(ana)[0] for _time in range(3))
    client.post(reverse("admin:accounts_user_end_session", args=[ana.pk, second.pk]))
    assert set(ana.sessions.alive()) == {first, third}
    assert last_event().kind == "session:revoked"
    press(client, ana, "sign-out")
    assert not ana.sessions.alive().exists()


def test_a_session_is_ended_on_the_page_of_its_own_user_alone(
    root: User, ana: User, bruno: User, panel_of: Panel
) -> None:
    session, _refresh = login.open_session(ana)
    address = reverse("admin:accounts_user_end_session", args=[bruno.pk, session.pk])
    assert panel_of(root).post(address).status_code == 404
    session.refresh_from_db()
    assert session.is_alive


def test_the_last_admin_is_not_suspended(root: User, panel_of: Panel) -> None:
    assert "This is the last active administrator." in press(panel_of(root), root, "suspend")
    root.refresh_from_db()
    assert root.is_active


def test_only_buttons_that_make_sense_are_there(
    root: User, ana: User, person: Callable[..., User], panel_of: Panel
) -> None:
    client = panel_of(root)
    assert buttons(client, ana) == ["reset", "unlock", "suspend"]
    login.open_session(ana)
    assert "sign-out" in buttons(client, ana)
    assert buttons(client, person("dora", is_active=False)) == ["activate"]
    assert buttons(client, person("emil", email_verified=False)) == ["confirmation", "reset", "unlock", "suspend"]
    assert buttons(client, users.create("fay@example.com", actor=None)) == ["invite", "uninvite", "suspend"]


@pytest.mark.parametrize("deed", DEEDS)
def test_who_may_only_look_presses_nothing(
    person: Callable[..., User], role: Callable[..., Role], ana: User, panel_of: Panel, deed: str
) -> None:
    role("viewer", "users.view", "sessions.view")
    client = panel_of(person("vera", role="viewer"))
    session, _refresh = login.open_session(ana)
    assert buttons(client, ana) == []
    before = AuditEvent.objects.count()
    assert client.post(reverse("admin:accounts_user_do", args=[ana.pk, deed])).status_code == 403
    assert client.post(reverse("admin:accounts_user_end_session", args=[ana.pk, session.pk])).status_code == 403
    assert AuditEvent.objects.count() == before
    assert session in ana.sessions.alive()


@pytest.mark.parametrize("deed", ["reset", "unlock", "suspend", "activate"])
def test_nobody_presses_a_button_of_somebody_who_holds_more(
    carla: User, root: User, panel_of: Panel, deed: str
) -> None:
    client = panel_of(carla)
    assert buttons(client, root) == []
    before = AuditEvent.objects.count()
    assert "You do not have permission to do this." in press(client, root, deed)
    root.refresh_from_db()
    assert root.is_active
    assert AuditEvent.objects.count() == before
    assert not OutboxMail.objects.exists()


def test_a_link_does_nothing(root: User, ana: User, panel_of: Panel) -> None:
    assert panel_of(root).get(reverse("admin:accounts_user_do", args=[ana.pk, "suspend"])).status_code == 403
    ana.refresh_from_db()
    assert ana.is_active


def test_a_form_from_elsewhere_does_nothing(root: User, ana: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(root)
    assert client.post(reverse("admin:accounts_user_do", args=[ana.pk, "suspend"])).status_code == 403
    ana.refresh_from_db()
    assert ana.is_active


def test_unknown_buttons_and_users_are_refused(root: User, ana: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert client.post(reverse("admin:accounts_user_do", args=[ana.pk, "promote"])).status_code == 403
    users.delete(ana, actor=None)
    assert client.post(reverse("admin:accounts_user_do", args=[ana.pk, "suspend"])).status_code == 404


def test_sessions_are_ended_from_their_list(root: User, ana: User, carla: User, panel_of: Panel) -> None:
    session, _refresh = login.open_session(ana)
    form = {"action": "end", "_selected_action": [str(session.pk)]}
    address = reverse("admin:accounts_session_changelist")
    assert panel_of(carla).post(address, form).status_code == 403
    assert Session.objects.get(pk=session.pk).is_alive
    assert "1 session ended." in panel_of(root).post(address, form, follow=True).content.decode()
    assert not Session.objects.get(pk=session.pk).is_alive
