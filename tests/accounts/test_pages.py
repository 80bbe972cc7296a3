"""The pages behind mailed links, as a browser without JavaScript meets them."""

import re
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from accounts import pages, tokens
from accounts.errors import Overloaded
from accounts.hashing_gate import HashingGate
from accounts.models import AuditEvent, OneTimeToken, RateBucket, User
from accounts.models.identifiers import new_id
from accounts.tokens import Purpose
from tests.conftest import OTHER_PASSWORD, PASSWORD
from usermanager.environment import rate

ANA, NEW_ANA = "ana@example.com", "ana@new.example"
ERROR_TITLE = "<title>Error: "


class Case(NamedTuple):
    """A page: whose links lead there, what is filled in besides, and its heading and that of its success."""

    path: str
    purpose: Purpose
    filled: dict[str, str]
    english: tuple[str, str]
    spanish: tuple[str, str]


CASES = [
    Case(
        "/reset-password",
        Purpose.PASSWORD_RESET,
        {"new_password": OTHER_PASSWORD},
        ("Choose a new password", "Your password was changed"),
        ("Elige una contraseña nueva", "Tu contraseña ha cambiado"),
    ),
    Case(
        "/verify-email",
        Purpose.VERIFY_EMAIL,
        {},
        ("Confirm your email address", "Your email address is confirmed"),
        ("Confirma tu dirección de correo", "Tu dirección de correo está confirmada"),
    ),
    Case(
        "/change-email",
        Purpose.EMAIL_CHANGE,
        {},
        ("Confirm your new email address", "Your email address was changed"),
        ("Confirma tu nueva dirección de correo", "Tu dirección de correo ha cambiado"),
    ),
    Case(
        "/accept-invitation",
        Purpose.INVITATION,
        {"password": OTHER_PASSWORD, "full_name": "Ana García"},
        ("Accept the invitation", "Welcome to UserManager"),
        ("Acepta la invitación", "Te damos la bienvenida a UserManager"),
    ),
]
RESET, VERIFY, CHANGE, INVITATION = CASES
WITH_PASSWORD = [RESET, INVITATION]

each_page = pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
Mailed = Callable[[Case], str]


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", email_verified=False)


@pytest.fixture
def mailed(ana: User) -> Mailed:
    """The secret of a link to the page, as it was mailed to Ana."""

    def issue(case: Case) -> str:
        email = NEW_ANA if case is CHANGE else ANA
        return tokens.issue(ana, case.purpose, request=new_id(), email=email)

    return issue


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def opened(browser: Client, case: Case, secret: str, language: str = "en") -> str:
    answer = browser.get(case.path, {"token": secret}, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def hidden(page: str, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]+)">', page)
    assert found, page
    return found[1]


def sent(browser: Client, case: Case, page: str, language: str = "en", **filled: str) -> tuple[int, str]:
    """Presses the button of the page; the status and the page that comes of it."""
    (action,) = re.findall(r'<form action="([^"]+)" method="post">', page)
    fields = {name: hidden(page, name) for name in ("csrfmiddlewaretoken", "token")}
    answer = browser.post(action, fields | case.filled | filled, headers={"Accept-Language": language})
    return answer.status_code, answer.content.decode()


def heading(page: str) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", page)
    return str(found)


def state(user: User) -> dict[str, object]:
    """All that a page could change."""
    return {
        "user": User.objects.filter(pk=user.pk).values("email", "email_verified", "full_name", "password").get(),
        "tokens": list(OneTimeToken.objects.values("pk", "used_at", "ended_at")),
        "audit": AuditEvent.objects.count(),
    }


@each_page
@pytest.mark.parametrize("language", ["en", "es"])
def test_a_link_is_opened_and_its_button_pressed(browser: Client, mailed: Mailed, case: Case, language: str) -> None:
    before, after = case.english if language == "en" else case.spanish
    page = opened(browser, case, mailed(case), language)
    assert heading(page) == before
    assert f'<html lang="{language}">' in page
    status, page = sent(browser, case, page, language)
    assert (status, heading(page)) == (200, after)


def test_a_reset_sets_the_password(browser: Client, mailed: Mailed, ana: User) -> None:
    sent(browser, RESET, opened(browser, RESET, mailed(RESET)))
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.email_verified


def test_an_address_is_confirmed_and_may_be_again(browser: Client, mailed: Mailed, ana: User) -> None:
    secret = mailed(VERIFY)
    for _time in range(2):
        assert sent(browser, VERIFY, opened(browser, VERIFY, secret))[0] == 200
    ana.refresh_from_db()
    assert ana.email_verified


def test_an_address_is_moved(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, CHANGE, mailed(CHANGE))
    assert f'value="{NEW_ANA}"' in page
    assert f"as {NEW_ANA}" in sent(browser, CHANGE, page)[1]
    ana.refresh_from_db()
    assert ana.email == NEW_ANA


def test_an_invitation_sets_password_and_name(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    assert '<input type="text" name="full_name" value="Ana"' in page
    sent(browser, INVITATION, page)
    ana.refresh_from_db()
    assert ana.check_password(OTHER_PASSWORD)
    assert ana.full_name == "Ana García"


@each_page
@pytest.mark.parametrize("method", ["get", "head"])
def test_opening_a_page_changes_nothing(mailed: Mailed, ana: User, case: Case, method: str) -> None:
    secret = mailed(case)
    before = state(ana)
    for _scanner in range(3):
        assert getattr(Client(), method)(case.path, {"token": secret}).status_code == 200
    assert state(ana) == before
    assert tokens.find(secret, case.purpose)


@each_page
def test_a_button_pressed_on_another_site_does_nothing(browser: Client, mailed: Mailed, ana: User, case: Case) -> None:
    secret = mailed(case)
    before = state(ana)
    assert browser.post(case.path, {"token": secret} | case.filled).status_code == 403
    assert state(ana) == before


@each_page
@pytest.mark.parametrize("secret", ["", "wrong", "\x00", "x" * 5000], ids=ascii)
def test_a_link_that_never_worked_says_so(client: Client, ana: User, case: Case, secret: str) -> None:
    before = state(ana)
    for answer in (client.get(case.path, {"token": secret}), client.post(case.path, {"token": secret} | case.filled)):
        assert answer.status_code == 400
        assert "This link is no longer valid." in answer.content.decode()
        assert "<form" not in answer.content.decode()
    assert state(ana) == before


@each_page
def test_a_link_of_another_page_does_not_work(client: Client, mailed: Mailed, ana: User, case: Case) -> None:
    secrets = [mailed(other) for other in CASES if other is not case]
    before = state(ana)
    for secret in secrets:
        assert client.get(case.path, {"token": secret}).status_code == 400
        assert client.post(case.path, {"token": secret} | case.filled).status_code == 400
    assert state(ana) == before


@pytest.mark.parametrize("case", [RESET, CHANGE, INVITATION], ids=lambda case: case.path)
def test_a_link_works_once(browser: Client, mailed: Mailed, ana: User, case: Case) -> None:
    page = opened(browser, case, mailed(case))
    sent(browser, case, page)
    before = state(ana)
    status, page = sent(browser, case, page, new_password=PASSWORD, password=PASSWORD)
    assert (status, heading(page)) == (400, "Invalid link")
    assert state(ana) == before


@each_page
def test_who_presses_the_button_too_late_is_told(
    browser: Client, mailed: Mailed, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is faster, between the look at the link and its use."""
    page = opened(browser, case, mailed(case))
    look_up = pages._look_up

    def and_be_overtaken(secret: str, purpose: Purpose) -> OneTimeToken:
        token = look_up(secret, purpose)
        tokens.end_all(token.user)
        return token

    monkeypatch.setattr(pages, "_look_up", and_be_overtaken)
    status, page = sent(browser, case, page)
    assert (status, heading(page)) == (400, "Invalid link")
    ana.refresh_from_db()
    assert (ana.email, ana.email_verified, ana.check_password(PASSWORD)) == (ANA, False, True)


@pytest.mark.parametrize("case", WITH_PASSWORD, ids=lambda case: case.path)
@pytest.mark.parametrize(
    "wrong",
    [
        ("", "This field is required."),
        ("short", "Use a password of at least 8 characters."),
        ("ana@example.com", "too easy to guess"),
        ("x" * 129, "Use a password of at most 128 characters."),
    ],
    ids=itemgetter(1),
)
def test_a_refused_password_is_named_at_its_field_and_the_link_lives(
    browser: Client, mailed: Mailed, ana: User, case: Case, wrong: tuple[str, str]
) -> None:
    password, message = wrong
    page = opened(browser, case, mailed(case))
    before = state(ana)
    status, page = sent(browser, case, page, new_password=password, password=password)
    assert status == 400
    assert ERROR_TITLE in page
    name = "new_password" if case is RESET else "password"
    (told,) = re.findall(rf'id="id_{name}_error">(.*?)</ul>', page)
    assert message in told
    (field,) = re.findall(rf'<input type="password" name="{name}".*?>', page)
    assert f'aria-describedby="id_{name}_helptext id_{name}_error"' in field
    assert 'aria-invalid="true"' in field
    assert "autofocus" in field
    assert not password or password not in field
    assert state(ana) == before
    assert sent(browser, case, page)[0] == 200


def test_spaces_belong_to_a_password(browser: Client, mailed: Mailed, ana: User) -> None:
    sent(browser, RESET, opened(browser, RESET, mailed(RESET)), new_password=f"  {OTHER_PASSWORD} ")
    ana.refresh_from_db()
    assert ana.check_password(f"  {OTHER_PASSWORD} ")


def test_a_name_that_hides_something_is_refused(browser: Client, mailed: Mailed, ana: User) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    before = state(ana)
    status, page = sent(browser, INVITATION, page, full_name="Ana\u202egnp.exe")
    assert status == 400
    assert "A name has no control characters." in page
    assert state(ana) == before


def test_what_somebody_typed_is_escaped(browser: Client, mailed: Mailed) -> None:
    page = opened(browser, INVITATION, mailed(INVITATION))
    typed = '"><script>alert(1)</script>'
    _status, page = sent(browser, INVITATION, page, full_name=typed, password="short")
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@each_page
def test_tries_are_counted_and_a_working_link_is_none(
    client: Client, mailed: Mailed, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    form = {"token": mailed(case)} | dict.fromkeys(case.filled, "password")
    if case in WITH_PASSWORD:
        assert [client.post(case.path, form).status_code for _time in range(5)] == [400] * 5, "a bad password"
    for _time in range(2):
        assert client.post(case.path, {"token": "wrong"}).status_code == 400
    answer = client.post(case.path, form)
    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600
    assert answer["RateLimit"] == f'"token";r=0;t={answer["Retry-After"]}'
    assert answer["RateLimit-Policy"] == '"token";q=2;w=3600'
    assert heading(answer.content.decode()) == "Too many requests"
    RateBucket.objects.all().delete()
    assert client.post(case.path, form | case.filled).status_code == 200


@each_page
def test_opening_pages_counts_nowhere_as_any_site_can_do_that_to_its_visitors(
    client: Client, mailed: Mailed, case: Case, settings: Settings
) -> None:
    settings.RATE_LIMITS, settings.RATE_TOKEN = True, rate("2/1h")
    secret = mailed(case)
    for _time in range(3):
        assert client.get(case.path, {"token": "x"}, headers={"Sec-Fetch-Dest": "image"}).status_code == 400
        assert client.head(case.path, {"token": "x"}).status_code == 400
    assert client.get(case.path, {"token": secret}).status_code == 200
    assert client.post(case.path, {"token": secret} | case.filled).status_code == 200


@pytest.mark.parametrize("case", WITH_PASSWORD, ids=lambda case: case.path)
def test_who_finds_the_service_overloaded_may_press_again(
    browser: Client, mailed: Mailed, ana: User, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(browser, case, mailed(case))
    before = state(ana)
    full = HashingGate(settings.DATA_DIR / "full", 1, 0)
    with monkeypatch.context() as overload, full.place():
        overload.setattr("accounts.hashers.gate", lambda: full)
        status, page = sent(browser, case, page)
    assert status == Overloaded.status
    assert "Please try again in a moment." in page
    assert state(ana) == before
    assert sent(browser, case, page)[0] == 200


def test_the_language_of_the_account_comes_before_the_browsers(browser: Client, mailed: Mailed, ana: User) -> None:
    User.objects.filter(pk=ana.pk).update(locale="es")
    page = opened(browser, RESET, mailed(RESET), "en")
    assert heading(page) == "Elige una contraseña nueva"
    answer = browser.get(RESET.path, {"token": "wrong"}, headers={"Accept-Language": "en"})
    assert "<h1>Invalid link</h1>" in answer.content.decode(), "a stranger's language is their own"


@each_page
def test_a_page_leaks_nothing(browser: Client, mailed: Mailed, case: Case) -> None:
    """The address of the page holds the secret: no script reads it, nothing is asked for with it, nothing keeps it."""
    secret = mailed(case)
    answer = browser.get(case.path, {"token": secret})
    page = answer.content.decode()
    assert page.count(secret) == 1, "in the form, and not in its action"
    assert "<script" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["data:,", "/static/accounts/page.css"]
    assert answer["Referrer-Policy"] == "strict-origin"
    assert answer["Cache-Control"] == "no-store"
    assert "form-action 'self'" in answer["Content-Security-Policy"]


@each_page
def test_a_final_slash_does_no_harm(browser: Client, mailed: Mailed, case: Case) -> None:
    with_slash = case._replace(path=f"{case.path}/")
    assert sent(browser, case, opened(browser, with_slash, mailed(case)))[0] == 200


@each_page
def test_every_input_has_a_label_and_tells_password_managers_what_it_is(
    browser: Client, mailed: Mailed, case: Case
) -> None:
    page = opened(browser, case, mailed(case))
    inputs = [tag for tag in re.findall(r"<input .*?>", page) if 'type="hidden"' not in tag]
    for tag in inputs:
        (name,) = re.findall(r'id="(\w+)"', tag)
        assert f'<label for="{name}">' in page
        assert "autocomplete=" in tag
        assert "placeholder" not in tag
    expected = {RESET.path: ["new-password"], INVITATION.path: ["name", "new-password"]}.get(case.path, [])
    assert re.findall(r'autocomplete="([\w-]+)"', page) == ["username", *expected]


def test_who_may_enter_the_admin_panel_is_shown_the_way(browser: Client, mailed: Mailed, root: User) -> None:
    secret = tokens.issue(root, Purpose.PASSWORD_RESET, request=new_id(), email=root.email)
    assert 'href="/admin/"' in sent(browser, RESET, opened(browser, RESET, secret))[1]
    assert 'href="/admin/"' not in sent(browser, RESET, opened(browser, RESET, mailed(RESET)))[1]


def test_where_there_is_a_front_end_the_way_leads_there(browser: Client, mailed: Mailed, settings: Settings) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    assert 'href="https://app.example.com"' in sent(browser, RESET, opened(browser, RESET, mailed(RESET)))[1]
