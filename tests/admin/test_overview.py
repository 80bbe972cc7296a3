"""The overview: numbers that link to their lists, and two charts."""

import re
from collections.abc import Callable
from datetime import timedelta
from xml.etree import ElementTree

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import audit
from accounts.models import Role, User
from accounts.models.identifiers import id_at
from notifications import outbox
from notifications.models import OutboxMail, State

Panel = Callable[[User], Client]
HOME = "/admin/"
SVG = re.compile(r"<svg role=.*?</svg>", re.DOTALL)
TILE = re.compile(r'href="([^"]+)"><b>([\d,]+)</b> <span>([^<]+)</span>')


def tiles(client: Client) -> dict[str, tuple[int, str]]:
    """Returns each number with the URL of its list, by its label."""
    found = TILE.findall(client.get(HOME).content.decode())
    return {label: (int(value.replace(",", "")), address) for address, value, label in found}


def listed(client: Client, address: str) -> int:
    """Returns the number of rows in a list."""
    return client.get(address.replace("&amp;", "&")).content.decode().count('class="action-select"')


def test_each_number_matches_the_list_it_links_to(
    root: User, ana: User, person: Callable[..., User], panel_of: Panel
) -> None:
    person("dora", email_verified=False)
    person("emil", is_active=False)
    long_ago = timezone.now() - timedelta(days=60)
    person("ada", role="admin", mfa_enabled=True)
    person("fay", id=id_at(long_ago), created_at=long_ago)
    mail = outbox.enqueue("welcome", email=ana.email, user=ana)
    OutboxMail.objects.filter(pk=mail.pk).update(state=State.FAILED)
    client = panel_of(root)
    shown = tiles(client)
    values = {label: value for label, (value, _address) in shown.items()}
    assert values == {"Users": 6, "New this week": 5, "Unconfirmed": 1, "Suspended": 1} | {
        "Administrators without a second factor": 1,
        "Failed emails": 1,
    }
    for label, (value, address) in shown.items():
        assert listed(client, address) == value, label


def test_the_charts_have_a_description_and_a_link_for_each_day(root: User, ana: User, panel_of: Panel) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    User.objects.filter(pk=ana.pk).update(id=id_at(yesterday), created_at=yesterday)
    client = panel_of(root)
    page = client.get(HOME).content.decode()
    sign_ups, logins = (ElementTree.fromstring(svg) for svg in SVG.findall(page))  # noqa: S314
    assert sign_ups.findtext("title") == "Sign-ups"
    assert "2 in 30 days. Peak: 1 on" in str(sign_ups.findtext("desc"))
    assert "1 in 30 days. Peak: 1 on" in str(logins.findtext("desc"))
    links = [link.get("href", "") for link in sign_ups.findall("a")]
    assert len(links) == 30
    assert [listed(client, link) for link in links[-3:]] == [0, 1, 1]
    assert "session:opened" in client.get(logins.findall("a")[-1].get("href", "")).content.decode()


def test_each_part_of_the_overview_requires_its_permission(
    person: Callable[..., User], role: Callable[..., Role], panel_of: Panel
) -> None:
    for permission, words in {
        "users.view": ["Sign-ups", "Unconfirmed"],
        "audit.view": ["Logins", "Latest events"],
        "mails.view": ["Failed emails"],
        "roles.view": ["Choose a section from the menu above."],
    }.items():
        name = permission.replace(".", "")
        role(name, permission)
        page = panel_of(person(name, role=name)).get(HOME).content.decode()
        shown = [
            word
            for word in ("Sign-ups", "Logins", "Failed emails", "Choose a section from the menu above.")
            if word in page
        ]
        assert shown == words[:1], permission
        assert all(word in page for word in words), permission


def test_numbers_are_counted_once_a_minute(
    root: User, panel_of: Panel, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = panel_of(root)
    client.get(HOME)
    with django_assert_max_num_queries(6):
        client.get(HOME)
    assert cache.get("accounts.overview.users") == 1


def test_the_latest_events_show_addresses(root: User, ana: User, panel_of: Panel) -> None:
    audit.record("user:unlocked", ana, actor=root)
    page = panel_of(root).get(HOME).content.decode()
    for words in ("Unlocked (failed logins reset)", ana.email, root.email):
        assert words in page


def test_an_event_without_user_and_actor_names_neither(root: User, panel_of: Panel) -> None:
    audit.record("import:finished", None, actor=None)
    page = panel_of(root).get(HOME).content.decode()
    row = re.search(r"Import of users finished.*?</tr>", page, re.DOTALL)
    assert row
    assert "the user" not in row[0]


@pytest.mark.parametrize("day", ["", "nonsense", "0001-01-01", "9999-12-31", "2026-02-30"])
def test_an_invalid_day_filters_nothing(root: User, panel_of: Panel, day: str) -> None:
    assert listed(panel_of(root), f"/admin/accounts/user/?day={day}") == 1
