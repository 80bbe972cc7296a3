"""An operator rotates and revokes signing keys with `manage.py keys`."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from rest_framework.test import APIClient

from accounts import audit
from accounts.jwt import signing_keys
from accounts.models import AuditEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_ring(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def command(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out)
    return out.getvalue()


def listed() -> list[dict[str, Any]]:
    return [key for key in json.loads(command("list", "--json")) if key["use"] == "signing"]


def test_lists_the_key_that_signs(ana: User) -> None:
    (key,) = listed()
    assert key["kid"] == signing_keys.signing_key().kid
    assert key["signs"] is True
    assert key["expires_at"] is None


def test_publishes_a_new_key_and_prints_when_it_signs(ana: User) -> None:
    (old,) = listed()
    printed = command("rotate")
    new, former = listed()
    assert (new["state"], new["signs"], former["kid"], former["signs"]) == ("pending", False, old["kid"], True)
    signs_from = datetime.fromisoformat(new["signs_from"])
    assert (
        printed
        == f"{new['kid']} is published now and signs access tokens from {signs_from:%Y-%m-%d %H:%M:%S} UTC on.\n"
    )
    another = json.loads(command("rotate", "--json"))
    assert another == {name: listed()[0][name] for name in ("kid", "signs_from")}


def test_revokes_a_key(ana: User, client_of: Callable[[User], APIClient]) -> None:
    client, (old,) = client_of(ana), listed()
    printed = command("revoke", old["kid"])
    (new,) = listed()
    assert (new["kid"] != old["kid"], new["signs"]) == (True, True)
    assert old["kid"] in printed
    assert f"signed with {new['kid']} from now on" in printed
    assert client.get("/api/v1/users/me/").status_code == 401
    assert client_of(ana).get("/api/v1/users/me/").status_code == 200
    recorded = AuditEvent.objects.filter(kind__startswith="key:").order_by("pk").values_list("kind", "data")
    assert list(recorded) == [("key:revoked", {"kid": old["kid"]}), ("key:rotated", {"kid": new["kid"]})]
    assert json.loads(command("revoke", new["kid"], "--json")) == {"kid": new["kid"], "successor": listed()[0]["kid"]}


def test_rejects_an_unknown_key(db: None) -> None:
    before = listed()
    with pytest.raises(CommandError, match="There is no key nonsense") as error:
        command("revoke", "nonsense")
    assert error.value.returncode == 1
    assert listed() == before
    assert not AuditEvent.objects.exists()


def test_signs_at_once_on_demand_and_still_accepts_tokens_of_the_old_key(
    ana: User, client_of: Callable[[User], APIClient]
) -> None:
    client, (old,) = client_of(ana), listed()
    printed = command("rotate", "--now")
    new, former = listed()
    assert f"signed with {new['kid']} from now on" in printed
    assert (new["signs"], former["signs"], former["kid"]) == (True, False, old["kid"])
    assert former["expires_at"] > new["created_at"]
    assert client.get("/api/v1/users/me/").status_code == 200
    assert client_of(ana).get("/api/v1/users/me/").status_code == 200
    assert AuditEvent.objects.get(kind="key:rotated").data == {"kid": new["kid"]}


def test_creates_no_key_if_the_event_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = listed()

    def fail(*_arguments: Any, **_others: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr("django.db.transaction.Atomic.__enter__", fail)
    with pytest.raises(DatabaseError):
        command("rotate")
    assert [key["kid"] for key in listed()] == [only["kid"]]
    assert audit.KINDS["key:rotated"]


def test_a_key_that_another_process_prunes_at_this_moment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = signing_keys.rotate()
    folder = signing_keys._folder()
    gone = folder / "20200101T000000000000Z-gone.pem"
    monkeypatch.setattr(os, "listdir", lambda _folder: [*(path.name for path in folder.glob("*.pem")), gone.name])
    assert [key.kid for key in signing_keys.key_set()] == [kept.kid]
