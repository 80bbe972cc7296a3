"""Each page outside the API and the panel is opened and its form sent where every statement commits by itself."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.signals import second_factors_reset
from tests.accounts.pages.second_factor_page import PATH, confirm, sign_in
from tests.api.routes import routes
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD

CHOSEN = {"new_password": OTHER_PASSWORD}


class Form(NamedTuple):
    """The token with which the page is opened, and the other input of its form."""

    token: Callable[[Scene], str] | None = None
    filled: Callable[[Scene], dict[str, str]] = lambda scene: {}


FORMS = {
    "/reset-password/": Form(Scene.reset_token, lambda scene: CHOSEN),
    "/verify-email/": Form(Scene.verification_token),
    "/change-email/": Form(Scene.change_token),
    "/accept-invitation/": Form(Scene.invitation_token, lambda scene: {"full_name": "Ida", "password": OTHER_PASSWORD}),
    "/forgot-password/": Form(None, lambda scene: {"email": scene.ana.email}),
    "/resend-verification/": Form(None, lambda scene: {"email": scene.unconfirmed.email}),
}
OTHERS = {
    "/.well-known/change-password": 302,
    "/.well-known/jwks.json": 200,
    "/.well-known/webauthn": 404,  # the operator has configured none
    "/.well-known/assetlinks.json": 404,
    "/.well-known/apple-app-site-association": 404,
    "/api/schema/": 200,
    "/api/docs/": 200,
    "/health/live/": 200,
    "/health/ready/": 200,
    "/metrics": 200,
    "/api/": 404,  # any unknown path
}


def test_each_page_has_a_case() -> None:
    paths = {route.path for route in routes("/") if not route.path.startswith(("/api/v1/", "/admin/"))}
    assert paths == FORMS.keys() | OTHERS.keys() | {f"{PATH}/"}


@pytest.mark.parametrize("path", FORMS)
def test_its_form_is_opened_and_sent(scene: Scene, path: str) -> None:
    form, browser = FORMS[path], Client(REMOTE_ADDR=scene.ip)
    fields = {"token": form.token(scene)} if form.token else {}
    assert browser.get(path, fields).status_code == 200
    answer = browser.post(path, fields | form.filled(scene))
    assert answer.status_code == 200, answer.content
    assert b"<form" not in answer.content


def test_a_confirmation_link_is_opened_and_sent_again(scene: Scene) -> None:
    browser, fields = Client(REMOTE_ADDR=scene.ip), {"token": scene.verification_token()}
    for _time in range(2):
        assert browser.get("/verify-email/", fields).status_code == 200
        assert browser.post("/verify-email/", fields).status_code == 200


def test_a_second_factor_is_set_up(scene: Scene) -> None:
    User.objects.filter(pk=scene.ana.pk).update(mfa_reset_at=timezone.now())
    second_factors_reset.send(sender=User, user=scene.ana, must_enrol=True)
    browser = Client(REMOTE_ADDR=scene.ip)
    page = sign_in(browser, scene.token("set_up_second_factor"))
    assert confirm(browser, page, code="000000").status_code == 401
    answer = confirm(browser, page)
    assert answer.status_code == 200
    assert answer.content.decode().count("<li><code>") == 10
    scene.ana.refresh_from_db()
    assert scene.ana.mfa_enabled


@pytest.mark.parametrize("path", [path for path, form in FORMS.items() if form.token])
def test_an_invalid_link_shows_an_error(scene: Scene, path: str) -> None:
    browser = Client(REMOTE_ADDR=scene.ip)
    assert browser.get(path, {"token": "x"}).status_code == 400
    assert browser.post(path, {"token": "x", **CHOSEN}).status_code == 400


@pytest.mark.parametrize("path", OTHERS)
def test_it_is_answered(scene: Scene, path: str) -> None:
    assert Client(REMOTE_ADDR="127.0.0.1").get(path).status_code == OTHERS[path]
