"""Every page of the panel: languages, permissions and the Content-Security-Policy."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.models import AuditEvent, Role, Session, User
from notifications import outbox

Panel = Callable[[User], Client]

LISTS = {
    "users.view": "admin:accounts_user_changelist",
    "roles.view": "admin:accounts_role_changelist",
    "sessions.view": "admin:accounts_session_changelist",
    "audit.view": "admin:accounts_auditevent_changelist",
    "mails.view": "admin:notifications_outboxmail_changelist",
}


def addresses(user: User) -> dict[str, str]:
    """Returns the URL of every page, by the permission that it requires."""
    event = audit.record("user:suspended", user, actor=None, reason="Chargeback")
    session = Session.objects.get(user=user)
    mail = outbox.enqueue("password_reset", email=user.email)
    return {
        **{f"{permission} list": reverse(name) for permission, name in LISTS.items()},
        "users.view": reverse("admin:accounts_user_change", args=[user.pk]),
        "users.add": reverse("admin:accounts_user_add"),
        "users.delete": reverse("admin:accounts_user_delete", args=[user.pk]),
        "roles.view": reverse("admin:accounts_role_change", args=[user.role.pk]),
        "roles.change": reverse("admin:accounts_role_add"),
        "sessions.view": reverse("admin:accounts_session_change", args=[session.pk]),
        "audit.view": reverse("admin:accounts_auditevent_change", args=[event.pk]),
        "mails.view": reverse("admin:notifications_outboxmail_change", args=[mail.pk]),
    }


@pytest.fixture
def pages(ana: User, panel_of: Panel) -> dict[str, str]:
    panel_of(ana)
    return addresses(ana)


@pytest.mark.parametrize(("language", "word"), [("en", "Log out"), ("es", "Cerrar sesión")])
def test_an_administrator_sees_every_page_in_both_languages(
    root: User, panel_of: Panel, pages: dict[str, str], language: str, word: str
) -> None:
    client = panel_of(root)
    for address in ("/admin/", "/admin/password_change/", "/admin/accounts/", *pages.values()):
        answer = client.get(address, headers={"Accept-Language": language})
        assert answer.status_code == 200, address
        assert word in answer.content.decode(), address


def test_a_button_in_the_header_chooses_the_language_of_the_panel_alone(root: User, panel_of: Panel) -> None:
    for client in (panel_of(root), Client()):
        home = client.get("/admin/", follow=True, headers={"Accept-Language": "en"})
        here = home.request["PATH_INFO"]
        assert re.search(
            r'action="/admin/language/".*?name="next" value="/admin/.*?value="es" lang="es">Español<',
            home.content.decode(),
            re.DOTALL,
        )
        answer = client.post("/admin/language/", {"language": "es", "next": here}, headers={"Accept-Language": "en"})
        assert answer["Location"] == here
        cookie = answer.cookies["language"]
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/admin/", True, "Lax")
        page = client.get(here, headers={"Accept-Language": "en"}).content.decode()
        assert ("Contraseña" in page or "Cerrar sesión" in page, 'value="en" lang="en">English<' in page) == (
            True,
            True,
        )


def test_choosing_a_language_leads_to_no_other_site(root: User, panel_of: Panel) -> None:
    answer = panel_of(root).post("/admin/language/", {"language": "es", "next": "https://evil.example.com/"})
    assert answer["Location"] == "/"


def test_each_page_requires_its_own_permission(
    person: Callable[..., User], role: Callable[..., Role], panel_of: Panel, pages: dict[str, str]
) -> None:
    for number, (name, address) in enumerate(pages.items()):
        permission = name.removesuffix(" list")
        role(f"with{number}", *{permission, *(["users.view"] if permission == "users.delete" else [])})
        role(f"without{number}", *({"mails.change", "roles.assign", "users.view", "audit.view"} - {permission}))
        allowed, other = (person(f"{who}{number}", role=f"{who}{number}") for who in ("with", "without"))
        assert panel_of(allowed).get(address).status_code == 200, name
        assert panel_of(other).get(address).status_code == 403, name


def test_a_user_without_permissions_sees_no_page(ana: User, panel_of: Panel, pages: dict[str, str]) -> None:
    client = panel_of(ana)
    for address in ("/admin/", *pages.values()):
        assert client.get(address)["Location"].startswith("/admin/login/"), address


def test_events_and_sessions_have_no_forms(root: User, panel_of: Panel, pages: dict[str, str]) -> None:
    client = panel_of(root)
    rows: dict[str, AuditEvent | Session] = {
        "auditevent": AuditEvent.objects.earliest("id"),
        "session": Session.objects.earliest("id"),
    }
    for name, row in rows.items():
        for operation in ("change", "delete"):
            assert client.post(reverse(f"admin:accounts_{name}_{operation}", args=[row.pk]), {}).status_code == 403
        assert client.post(reverse(f"admin:accounts_{name}_add"), {}).status_code == 403
        row.refresh_from_db()


@pytest.mark.parametrize(
    "query", ["?q=%00", "?kind=%00", "?p=x", "?p=999999", "?o=77", "?nonsense=1", "?role__id__exact=x"]
)
def test_an_invalid_query_is_no_server_error(root: User, panel_of: Panel, query: str) -> None:
    client = panel_of(root)
    for name in LISTS.values():
        assert client.get(reverse(name) + query).status_code < 500


INLINE = re.compile(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)
FROM_OUTSIDE = re.compile(
    r"<(?:link|script|img|form|iframe)\b[^>]*\s(?:href|src|action)=.(?:https?:)?//", re.IGNORECASE
)


def test_every_page_works_with_the_content_security_policy(root: User, panel_of: Panel, pages: dict[str, str]) -> None:
    client = panel_of(root)
    confirmation = {"action": "suspend", "_selected_action": [str(root.pk)]}
    answers = [Client().get("/admin/login/"), client.post(pages["users.view list"], confirmation)]
    answers += [client.get(address) for address in ("/admin/", "/admin/password_change/", *pages.values())]
    for answer in answers:
        page, address = answer.content.decode(), answer.request["PATH_INFO"]
        assert "script-src 'self'; style-src 'self'" in answer["Content-Security-Policy"], address
        assert not INLINE.findall(page), address
        assert not FROM_OUTSIDE.findall(page), address


def test_djangos_own_history_is_not_available(root: User, ana: User, panel_of: Panel) -> None:
    assert panel_of(root).get(reverse("admin:accounts_user_history", args=[ana.pk])).status_code == 404


@pytest.mark.parametrize("name", ["user", "role"])
def test_a_form_has_one_button_to_save(root: User, panel_of: Panel, name: str) -> None:
    page = panel_of(root).get(reverse(f"admin:accounts_{name}_add")).content.decode()
    assert 'name="_save"' in page
    assert 'name="_addanother"' not in page
    assert 'name="_continue"' not in page
