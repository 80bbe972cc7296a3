"""Each page, form, button and action of the admin panel works where every statement commits by itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit, login, users
from accounts.admin import user_actions
from accounts.mfa import proofs
from accounts.models import Role, User
from notifications.admin import ACTIONS as EMAIL_ACTIONS
from notifications.models import OutboxMail
from tests.api.routes import ANA_ID, SESSION_ID, routes
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import Phone, enrol

Id = Callable[[Scene], object]
Fields = Callable[[Scene], dict[str, Any]]


class Page(NamedTuple):
    """The status of a page, the id in its path, the input of its form, and the status after it is submitted."""

    status: int = 200
    id: Id = lambda scene: ""
    fields: Fields | None = None
    sent: int = 302


def person(scene: Scene) -> object:
    return scene.ana.pk


def role(scene: Scene) -> object:
    return scene.role.pk


def session(scene: Scene) -> object:
    return scene.session.pk


def event(scene: Scene) -> object:
    return audit.record("user:role_changed", scene.ana, actor=scene.root, old="user", new="admin").pk


def pending(scene: Scene) -> OutboxMail:
    users.send_password_reset(scene.ana, actor=None)
    return scene.mail("password_reset")


def mail(scene: Scene) -> object:
    return pending(scene).pk


def user_form(scene: Scene) -> dict[str, Any]:
    email = f"new-{uuid4().hex[:10]}@example.com"
    return {
        "email": email,
        "full_name": "Dora",
        "role": scene.root.role_id,
        "locale": "es",
        "metadata": '{"b":1,"a":2}',
    }


def new_user_form(scene: Scene) -> dict[str, Any]:
    return user_form(scene) | {"password": PASSWORD}


def role_form(scene: Scene) -> dict[str, Any]:
    return {"name": f"r-{uuid4().hex[:10]}", "description": "x", "granted": ["users.view"], "others": "billing.x"}


def login_form(scene: Scene) -> dict[str, Any]:
    return {"username": scene.root.email, "password": PASSWORD, "next": "/admin/"}


def password_form(scene: Scene) -> dict[str, Any]:
    return {"old_password": PASSWORD, "new_password1": OTHER_PASSWORD, "new_password2": OTHER_PASSWORD}


def confirmed(scene: Scene) -> dict[str, Any]:
    return {"post": "yes"}


# By the path below /admin/, with an x for an id. Django's own short paths lead to the page of what they name.
PAGES = {
    "": Page(),
    "login/": Page(302, fields=login_form),
    "login/second/": Page(302),
    "second-factor/": Page(fields=lambda scene: {"operation": "begin"}),
    "confirm/": Page(fields=lambda scene: {"password": PASSWORD}),
    "logout/": Page(405, fields=lambda scene: {"next": ""}, sent=200),
    "language/": Page(302, fields=lambda scene: {"language": "es", "next": "/admin/"}),
    "password_change/": Page(fields=password_form),
    "password_change/done/": Page(),
    "jsi18n/": Page(),
    "autocomplete/": Page(403),
    "accounts/": Page(),
    "notifications/": Page(),
    "accounts/user/": Page(),
    "accounts/user/add/": Page(fields=new_user_form),
    "accounts/user/export/": Page(),
    "accounts/user/x/": Page(302, person),
    "accounts/user/x/change/": Page(200, person, user_form),
    "accounts/user/x/delete/": Page(200, person, confirmed),
    "accounts/user/x/history/": Page(404, person),
    "accounts/role/": Page(),
    "accounts/role/add/": Page(fields=role_form),
    "accounts/role/x/": Page(302, role),
    "accounts/role/x/change/": Page(200, role, role_form),
    "accounts/role/x/delete/": Page(200, role, confirmed),
    "accounts/role/x/history/": Page(404, role),
    "accounts/session/": Page(),
    "accounts/session/add/": Page(403),
    "accounts/session/x/": Page(302, session),
    "accounts/session/x/change/": Page(200, session),
    "accounts/session/x/delete/": Page(403, session),
    "accounts/session/x/history/": Page(404, session),
    "accounts/auditevent/": Page(),
    "accounts/auditevent/add/": Page(403),
    "accounts/auditevent/x/": Page(302, event),
    "accounts/auditevent/x/change/": Page(200, event),
    "accounts/auditevent/x/delete/": Page(403, event),
    "accounts/auditevent/x/history/": Page(404, event),
    "notifications/outboxmail/": Page(),
    "notifications/outboxmail/add/": Page(403),
    "notifications/outboxmail/x/": Page(302, mail),
    "notifications/outboxmail/x/change/": Page(200, mail),
    "notifications/outboxmail/x/delete/": Page(403, mail),
    "notifications/outboxmail/x/history/": Page(404, mail),
    "notifications/outboxmail/x/preview/": Page(200, mail),
}
SEARCHES = {
    "accounts/user/": ("q=ana", "q=an", "is_active__exact=1", "role__id__exact={role}", "o=-4", "p=2"),
    "accounts/session/": ("q=10.0.0.1", "alive=yes"),
    "accounts/auditevent/": ("q=x", "kind=user:created"),
    "notifications/outboxmail/": ("q=ana@example.com", "state=owed", "state=late", "kind=welcome"),
}


def enrolled(scene: Scene) -> User:
    enrol(scene.ana)
    return scene.ana


BUTTONS: dict[str, Callable[[Scene], User]] = {
    "invite": lambda scene: scene.invited,
    "uninvite": lambda scene: scene.invited,
    "confirmation": lambda scene: scene.unconfirmed,
    "reset": lambda scene: scene.ana,
    "unlock": lambda scene: scene.ana,
    "sign-out": lambda scene: scene.ana,
    "reset-factors": enrolled,
    "activate": lambda scene: scene.suspended,
    "suspend": lambda scene: scene.ana,
}
ACTIONS: dict[tuple[str, str], tuple[Id, Fields]] = {
    ("user", "change_role"): (person, lambda scene: {"role": scene.root.role_id}),
    ("user", "suspend"): (person, lambda scene: {"reason": "Spam"}),
    ("user", "activate"): (lambda scene: scene.suspended.pk, lambda scene: {}),
    ("user", "delete_for_good"): (person, lambda scene: {}),
    ("session", "end"): (session, lambda scene: {}),
    ("outboxmail", "retry"): (mail, lambda scene: {}),
    ("outboxmail", "cancel"): (mail, lambda scene: {}),
}


@pytest.fixture
def browser(scene: Scene) -> Client:
    return scene.panel(scene.root)


def test_each_page_has_a_case() -> None:
    found = {route.path.removeprefix("/admin/") for route in routes("/admin/")}
    places = {path.replace(SESSION_ID, "x").replace(ANA_ID, "x") for path in found}
    whole = {path for path in places if "/do/" not in path and not path.endswith("/end/")}
    assert whole - {"x", "x/"} == PAGES.keys() - {"accounts/", "notifications/"}  # the two have one pattern


def test_each_button_and_each_action_has_a_case() -> None:
    registered = admin.site._registry.items()
    offered = {(model._meta.model_name, str(name)) for model, one in registered for name in one.actions or ()}
    assert offered == ACTIONS.keys()
    assert {action.name for action in user_actions.ON_USER_PAGE} == BUTTONS.keys()


@pytest.mark.parametrize("path", PAGES)
def test_it_opens_and_its_form_is_sent(scene: Scene, browser: Client, path: str) -> None:
    page = PAGES[path]
    address = f"/admin/{path.replace('x/', f'{page.id(scene)}/')}" if page.id(scene) else f"/admin/{path}"
    assert _read(browser, address) == page.status
    if page.fields:
        answer = browser.post(address, page.fields(scene))
        assert answer.status_code == page.sent, answer.content.decode()


@pytest.mark.parametrize("path", SEARCHES)
def test_a_list_is_searched_and_filtered(scene: Scene, browser: Client, path: str) -> None:
    for query in SEARCHES[path]:
        assert _read(browser, f"/admin/{path}?{query.format(role=scene.role.pk)}") == 200, query


@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_on_the_page_of_a_user_is_pressed(scene: Scene, browser: Client, name: str) -> None:
    user = BUTTONS[name](scene)
    login.open_session(scene.ana, proofs.Proof(("pwd", "otp", "mfa")))
    press(browser, reverse("admin:accounts_user_action", args=[user.pk, name]), {"reason": "Spam"})


def test_one_session_of_a_user_is_ended(scene: Scene, browser: Client) -> None:
    press(browser, reverse("admin:accounts_user_end_session", args=[scene.ana.pk, scene.session.pk]), {})


@pytest.mark.parametrize("name", EMAIL_ACTIONS)
def test_a_button_on_the_page_of_an_email_is_pressed(scene: Scene, browser: Client, name: str) -> None:
    press(browser, reverse("admin:notifications_outboxmail_action", args=[pending(scene).pk, name]), {})


@pytest.mark.parametrize(("model", "name"), ACTIONS)
def test_an_action_is_chosen_and_confirmed(scene: Scene, browser: Client, model: str, name: str) -> None:
    chosen, fields = ACTIONS[model, name]
    app = "notifications" if model == "outboxmail" else "accounts"
    form = {"action": name, "_selected_action": [str(chosen(scene))], **fields(scene)}
    if model != "session":  # ending a session needs no confirmation
        assert browser.post(f"/admin/{app}/{model}/", form).status_code == 200
    press(browser, f"/admin/{app}/{model}/", form | {"confirmed": "yes"})


def press(browser: Client, address: str, fields: dict[str, Any]) -> None:
    """Submits the form, and asserts that the next page reports success."""
    answer = browser.post(address, fields, follow=True)
    assert answer.status_code == 200, answer.content
    said = [(message.level_tag, message.message) for message in answer.context["messages"]]
    assert [tag for tag, _text in said] in (["success"], ["info"]), said


def _read(browser: Client, address: str) -> int:
    """Reads the whole response and returns its status. An export reads the database while it is sent."""
    answer = browser.get(address)
    assert answer.getvalue() or answer.status_code != 200
    return answer.status_code


def test_a_user_with_a_factor_logs_in_in_two_steps(scene: Scene) -> None:
    phone, browser = enrol(scene.root), Client(REMOTE_ADDR=scene.ip)
    assert browser.post("/admin/login/", login_form(scene)).headers["Location"].startswith("/admin/login/second/")
    assert browser.post("/admin/login/second/", {"code": phone.code()}).headers["Location"] == "/admin/"
    assert browser.post("/admin/confirm/", {"code": phone.code()}).status_code == 302
    assert _read(browser, "/admin/") == 200


def test_a_user_who_must_enrol_does_so_before_the_session(scene: Scene) -> None:
    since = timezone.now() - timedelta(days=30)
    role = Role.objects.create(
        name=f"r-{uuid4().hex[:10]}", permissions=["users.view"], mfa="required", mfa_required_at=since
    )
    User.objects.filter(pk=scene.root.pk).update(role=role, mfa_required_since=since)
    browser = Client(REMOTE_ADDR=scene.ip)
    page = browser.post("/admin/login/", login_form(scene), follow=True).content.decode()
    phone = Phone(page.partition('class="key">')[2].partition("<")[0].replace(" ", ""))
    answer = browser.post("/admin/second-factor/", {"operation": "confirm", "code": phone.code()})
    assert "recovery-codes" in answer.content.decode()
    assert _read(browser, "/admin/") == 200
