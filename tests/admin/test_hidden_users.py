"""Without `users.view`, pages of events, sessions and emails show ids, and no addresses or names of users."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.contrib.admin import ModelAdmin
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts import audit, login, permissions, users
from accounts.admin.site import panel
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from notifications.models import OutboxMail

Panel = Callable[[User], Client]
Holder = Callable[..., User]

PEOPLE = ("ana", "hugo", "root")
LINK = re.compile(r'href="(/admin/[^"#]*)"')


@pytest.fixture
def people(person: Callable[..., User]) -> list[User]:
    """Returns three users with sessions, events and emails; hugo's address has changed since his email was sent."""
    made = [person(name, full_name=f"{name.title()} Secret-Name") for name in PEOPLE]
    users.set_role(made[2], Role.objects.get(name="admin"), actor=None)
    for user in made:
        login.open_session(user, proofs.PASSWORD)
        users.send_password_reset(user, actor=made[2])
        audit.record("user:unlocked", user, actor=made[2])
    OutboxMail.objects.exclude(email="hugo@example.com").delete()
    OutboxMail.objects.update(user=made[1])
    User.objects.filter(pk=made[1].pk).update(email="hugo@moved.example", email_key="hugo@moved.example")
    return made


@pytest.fixture
def holder(person: Callable[..., User], role: Callable[..., Role]) -> Holder:
    def make(*permissions: str) -> User:
        role("some", *permissions)
        return person("sam", role="some")

    return make


def addresses() -> Iterator[str]:
    """Yields the URLs of all pages, for each object if they need an id."""
    for model, its in panel()._registry.items():
        assert isinstance(its, ModelAdmin)
        for pattern in its.get_urls():
            if not pattern.name:
                continue
            for found in [None, *model._default_manager.all()]:
                arguments = [] if found is None else [found.pk]
                try:
                    yield reverse(f"admin:{pattern.name}", args=arguments)
                except NoReverseMatch:
                    continue


def crawled(client: Client) -> Iterator[tuple[str, str]]:
    """Yields all pages and all pages that they link to, with their text."""
    waiting, seen = [reverse("admin:index"), *addresses()], set()
    while waiting:
        path = waiting.pop()
        if path in seen or "logout" in path:
            continue
        seen.add(path)
        answer = client.get(path)
        assert answer.status_code in (200, 302, 400, 403, 404), path
        if answer.status_code == 200:
            text = b"".join(answer).decode()
            waiting += [link.replace("&amp;", "&") for link in LINK.findall(text)]
            yield path, text


def personal(text: str, path: str) -> list[str]:
    found = re.findall(r"ana@example\.com|hugo@moved\.example|root@example\.com|\w+ Secret-Name", text)
    return [f"{path}: {one}" for one in found]


@pytest.mark.parametrize("permission", sorted(set(permissions.PERMISSIONS) - {"users.view"}))
def test_no_other_single_permission_shows_addresses_or_names(
    permission: str, people: list[User], holder: Holder, panel_of: Panel
) -> None:
    client = panel_of(holder(permission))
    pages = dict(crawled(client))
    assert reverse("admin:index") in pages
    assert [one for path, text in pages.items() for one in personal(text, path)] == []


def test_all_other_permissions_together_show_no_addresses_or_names(
    people: list[User], holder: Holder, panel_of: Panel
) -> None:
    client = panel_of(holder(*set(permissions.PERMISSIONS) - {"users.view"}))
    pages = dict(crawled(client))
    assert len(pages) > 20
    assert [one for path, text in pages.items() for one in personal(text, path)] == []
    ids = pages[reverse("admin:accounts_auditevent_changelist")]
    assert all(str(user.pk) in ids for user in people)


def test_users_view_shows_the_addresses(people: list[User], holder: Holder, panel_of: Panel) -> None:
    client = panel_of(holder("users.view", "audit.view", "sessions.view", "mails.view"))
    for name in ("accounts_auditevent_changelist", "accounts_session_changelist", "index"):
        assert "root@example.com" in client.get(reverse(f"admin:{name}")).content.decode()
    [session] = Session.objects.filter(user=people[0])
    assert "ana@example.com" in client.get(reverse("admin:accounts_session_change", args=[session.pk])).content.decode()
    [mail] = OutboxMail.objects.all()
    page = client.get(reverse("admin:notifications_outboxmail_change", args=[mail.pk])).content.decode()
    assert "hugo@moved.example" in page
    assert "hugo@example.com" in page


@pytest.mark.parametrize("name", ["auditevent", "session"])
def test_a_search_for_an_address_does_not_reveal_its_user(
    name: str, people: list[User], holder: Holder, panel_of: Panel
) -> None:
    client, page = panel_of(holder("audit.view", "sessions.view")), reverse(f"admin:accounts_{name}_changelist")
    for term in ("ana@example.com", "nobody@example.com"):
        seen = client.get(page, {"q": term})
        assert seen.context["cl"].result_count == 0
        assert "complete email address" not in seen.content.decode()
    if name == "auditevent":
        assert client.get(page, {"q": str(people[0].pk)}).context["cl"].result_count > 0


def test_an_error_shows_no_address(people: list[User], holder: Holder, panel_of: Panel) -> None:
    client, page = panel_of(holder("sessions.view", "sessions.revoke")), reverse("admin:accounts_session_changelist")
    [session] = Session.objects.filter(user=people[2])
    said = client.post(page, {"action": "end", "_selected_action": [str(session.pk)]}, follow=True).content.decode()
    assert f"{people[2].pk}: You do not have permission to do this." in said
    assert personal(said, page) == []


def test_with_users_add_alone_the_form_leads_to_the_overview(
    people: list[User], holder: Holder, panel_of: Panel
) -> None:
    client = panel_of(holder("users.add"))
    answer = client.post(reverse("admin:accounts_user_add"), {"email": "new@example.com"}, follow=True)
    assert answer.redirect_chain == [(reverse("admin:index"), 302)]
    assert personal(answer.content.decode(), "") == []
    assert AuditEvent.objects.filter(kind="user:created").exists()
