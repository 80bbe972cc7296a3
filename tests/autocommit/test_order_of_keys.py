"""Stored JSON is shown in the same order on both databases, although PostgreSQL's jsonb sorts keys by length."""

import html
import json
import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from accounts import users
from accounts.models import AuditEvent
from tests.autocommit.scene import Scene

METADATA = {"zz": {"y": 1, "long": 2}, "plan": "pro"}
ORDERED = '{"plan": "pro", "zz": {"long": 2, "y": 1}}'


@pytest.fixture
def changed(scene: Scene) -> AuditEvent:
    """The event of a change of Ana's role."""
    users.set_role(scene.ana, scene.role, actor=scene.root)
    return AuditEvent.objects.get(user_id=scene.ana.pk, kind="user:role_changed")


def test_the_panel_shows_a_change_from_old_to_new(scene: Scene, changed: AuditEvent) -> None:
    browser, role = scene.panel(scene.root), scene.role.name
    event = f"/admin/accounts/auditevent/{changed.pk}/change/"
    for path in (f"/admin/accounts/user/{scene.ana.pk}/change/", "/admin/", "/admin/accounts/auditevent/"):
        assert f"old: user · new: {role}" in browser.get(path).content.decode(), path
    assert f'{{"old": "user", "new": "{role}"}}' in html.unescape(browser.get(event).content.decode())


def test_api_and_command_show_a_change_from_old_to_new(scene: Scene, changed: AuditEvent) -> None:
    out = StringIO()
    call_command("audit", "list", "--user", str(scene.ana.pk), "--kind", changed.kind, "--json", stdout=out)
    client = scene.client(scene.root)
    answers = [
        client.get(path).json()["results"] for path in (f"/api/v1/users/{scene.ana.pk}/audit/", "/api/v1/audit/")
    ]
    for events in (*answers, json.loads(out.getvalue())):
        (data,) = [event["data"] for event in events if event["id"] == str(changed.pk)]
        assert list(data) == ["old", "new"]


def test_the_keys_of_metadata_are_sorted_in_panel_command_and_files(scene: Scene, tmp_path: Path) -> None:
    user = scene.person("mia", metadata=METADATA)
    page = scene.panel(scene.root).get(f"/admin/accounts/user/{user.pk}/change/").content.decode()
    assert ORDERED in html.unescape(page)
    out = StringIO()
    call_command("users", "show", user.email, "--json", stdout=out)
    assert re.sub(r"\s", "", ORDERED) in re.sub(r"\s", "", out.getvalue())
    for name, expected in {"users.jsonl": ORDERED, "users.csv": ORDERED.replace('"', '""')}.items():
        call_command("export_users", str(tmp_path / name), stdout=StringIO())
        assert expected in (tmp_path / name).read_text()
