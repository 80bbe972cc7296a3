"""Login and logout of the panel, and the end of its sessions."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from pytest_django import Settings

from accounts import passwords, permissions, sessions, users
from accounts.limits.rates import Rate
from accounts.models import AuditEvent, RateBucket, Role, Session, User
from tests.conftest import OTHER_PASSWORD, PASSWORD

HOME = "/admin/"
LOGIN = "/admin/login/?next=/admin/"

Panel = Callable[[User], Client]


def log_in(client: Client, email: str, password: str = PASSWORD, language: str = "en") -> str:
    """Returns the text of the page, or the URL of a redirect."""
    form = {"username": email, "password": password}
    answer = client.post(LOGIN, form, headers={"Accept-Language": language})
    return answer.headers.get("Location") or unescape(answer.content.decode())


def events() -> list[tuple[str, dict[str, str]]]:
    return [(event.kind, event.data) for event in AuditEvent.objects.order_by("id")]


def is_in(client: Client) -> bool:
    return client.get(HOME).status_code == 200


def test_login_opens_an_ordinary_session_and_logout_closes_it(carla: User) -> None:
    client = Client()
    assert log_in(client, "Carla@example.com") == HOME
    assert is_in(client)
    session = Session.objects.get()
    assert session.user == carla
    assert session.expires_at - session.created_at == timedelta(hours=12)
    client.post("/admin/logout/")
    assert not is_in(client)
    assert [kind for kind, _data in events()] == ["session:opened", "session:closed"]


def test_a_copied_cookie_is_rejected_after_the_logout(carla: User, panel_of: Panel) -> None:
    here, elsewhere = panel_of(carla), Client()
    elsewhere.cookies["sessionid"] = here.cookies["sessionid"].value
    assert is_in(elsewhere)
    here.post("/admin/logout/")
    assert not is_in(elsewhere)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "The address or the password is wrong."), ("es", "contraseña es incorrecta")]
)
def test_a_wrong_password_and_an_unknown_address_look_the_same(carla: User, language: str, words: str) -> None:
    pages = [log_in(Client(), email, OTHER_PASSWORD, language) for email in (carla.email, "nobody@example.com")]
    assert all(words in page for page in pages)
    assert not Session.objects.exists()


def test_a_user_without_access_is_rejected_only_after_the_right_password(ana: User) -> None:
    client = Client()
    assert "Your account doesn't have access to the admin panel." not in log_in(client, ana.email, OTHER_PASSWORD)
    assert "Your account doesn't have access to the admin panel." in log_in(client, ana.email)
    assert not is_in(client)
    assert not Session.objects.exists()
    assert events()[-1] == ("login:failed", {"code": "permission_denied"})


def test_a_suspended_user_learns_it_only_after_the_right_password(person: Callable[..., User]) -> None:
    root = person("root", role=permissions.ADMIN, is_active=False)
    client = Client()
    assert "suspended" not in log_in(client, root.email, OTHER_PASSWORD)
    assert "This account is suspended." in log_in(client, root.email)
    assert not is_in(client)


def test_an_unconfirmed_address_cannot_log_in_if_confirmation_is_required(
    person: Callable[..., User], settings: Settings
) -> None:
    settings.EMAIL_VERIFICATION = "required"
    root = person("root", role=permissions.ADMIN, email_verified=False)
    client = Client()
    assert "Please confirm your address" in log_in(client, root.email)
    assert not is_in(client)


def test_login_has_the_rate_limits_of_the_api(carla: User, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    settings.RATE_LOGIN = Rate(2, timedelta(minutes=5))
    client = Client()
    for _time in range(2):
        log_in(client, carla.email, OTHER_PASSWORD)
    answer = client.post(LOGIN, {"username": carla.email, "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 300
    assert answer["RateLimit"] == f'"login";r=0;t={answer["Retry-After"]}'
    assert answer["RateLimit-Policy"] == '"login";q=2;w=300'
    assert "Try again in 5 minutes." in answer.content.decode()
    assert not is_in(client)
    assert RateBucket.objects.exists()


@pytest.mark.parametrize("form", [{}, {"username": "\0", "password": "\0"}, {"username": "x" * 5000, "password": "y"}])
def test_invalid_credentials_are_rejected(db: None, form: dict[str, str]) -> None:
    assert Client().post(LOGIN, form).status_code == 200
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "event",
    [
        lambda carla: users.suspend(carla, actor=None),
        lambda carla: users.set_role(carla, Role.objects.get(name=permissions.USER), actor=None),
        lambda carla: passwords.change(carla, PASSWORD, OTHER_PASSWORD, keep=None),
        lambda carla: users.revoke_sessions(carla, actor=None),
        lambda carla: sessions.close(Session.objects.get(), actor=None),
        lambda carla: users.delete(carla, actor=None),
    ],
    ids=["suspended", "demoted", "another password", "signed out everywhere", "session revoked", "deleted"],
)
def test_an_event_that_ends_a_users_sessions_ends_that_of_the_panel_too(
    carla: User, panel_of: Panel, event: Callable[[User], object]
) -> None:
    client = panel_of(carla)
    assert is_in(client)
    event(carla)
    assert not is_in(client)


def test_a_second_login_replaces_the_session(carla: User) -> None:
    client = Client()
    log_in(client, carla.email)
    log_in(client, carla.email)
    assert Session.objects.active().count() == 1


def test_a_login_over_the_session_of_another_user_ends_it(root: User, carla: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert log_in(client, carla.email) == HOME
    assert Session.objects.active().get().user == carla
    assert (root.pk, "session:closed") in AuditEvent.objects.values_list("user_id", "kind")


def test_a_rejected_login_leaves_the_session_of_another_user_open(root: User, carla: User, panel_of: Panel) -> None:
    client = panel_of(root)
    assert "is wrong" in log_in(client, carla.email, OTHER_PASSWORD)
    assert Session.objects.active().get().user == root
    assert is_in(client)


@pytest.mark.parametrize("following", [{}, {"next": ""}, {"next": "https://evil.example.com/"}])
def test_a_login_without_a_next_page_leads_to_the_overview(carla: User, following: dict[str, str]) -> None:
    form = {"username": carla.email, "password": PASSWORD}
    assert Client().post("/admin/login/", form | following)["Location"] == HOME


def test_a_request_keeps_the_session_from_expiring_as_idle(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    long_ago = Session.objects.get().last_used_at - timedelta(hours=1)
    Session.objects.update(last_used_at=long_ago)
    assert is_in(client)
    assert Session.objects.get().last_used_at > long_ago + timedelta(minutes=59)


def change_password(client: Client, *typed: str) -> str:
    """Sends the old password and the new one twice; returns the text of the page, or the URL of a redirect."""
    fields = ("old_password", "new_password1", "new_password2")
    answer = client.post("/admin/password_change/", dict(zip(fields, typed, strict=True)))
    return answer.headers.get("Location") or unescape(answer.content.decode())


def test_changing_the_password_ends_the_other_sessions(carla: User, panel_of: Panel) -> None:
    here, elsewhere = panel_of(carla), panel_of(carla)
    assert change_password(here, PASSWORD, OTHER_PASSWORD, OTHER_PASSWORD) == "/admin/password_change/done/"
    assert is_in(here)
    assert not is_in(elsewhere)
    assert "password:changed" in [kind for kind, _data in events()]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ((OTHER_PASSWORD, OTHER_PASSWORD, OTHER_PASSWORD), "This is not your current password."),
        ((PASSWORD, OTHER_PASSWORD, PASSWORD), "The two passwords don't match."),
        ((PASSWORD, "12345678", "12345678"), "too common"),
        ((PASSWORD, "", ""), "This field is required."),
    ],
)
def test_a_rejected_password_changes_nothing(
    carla: User, panel_of: Panel, typed: tuple[str, str, str], words: str
) -> None:
    assert words in change_password(panel_of(carla), *typed)
    carla.refresh_from_db()
    assert carla.check_password(PASSWORD)
