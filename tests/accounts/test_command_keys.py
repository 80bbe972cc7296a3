"""An operator changes the key that access tokens are signed with, with `manage.py keys`."""

import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from rest_framework.test import APIClient

from accounts import audit, keys
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
    answer: list[dict[str, Any]] = json.loads(command("list", "--json"))
    return answer


def test_lists_the_key_that_signs(ana: User) -> None:
    (key,) = listed()
    assert key["kid"] == keys.signing_key().kid
    assert key["signs"] is True
    assert key["expires_at"] is None


def test_signs_with_the_new_key_and_still_takes_tokens_of_the_old_one(
    ana: User, client_of: Callable[[User], APIClient]
) -> None:
    client, (old,) = client_of(ana), listed()
    printed = command("rotate")
    new, former = listed()
    assert new["kid"] in printed
    assert (new["signs"], former["signs"], former["kid"]) == (True, False, old["kid"])
    assert former["expires_at"] > new["created_at"]
    assert client.get("/api/v1/users/me/").status_code == 200
    assert client_of(ana).get("/api/v1/users/me/").status_code == 200
    assert AuditEvent.objects.get(kind="key:rotated").data == {"kid": new["kid"]}


def test_makes_no_key_while_the_event_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = listed()

    def fail(*_arguments: Any, **_others: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr("django.db.transaction.Atomic.__enter__", fail)
    with pytest.raises(DatabaseError):
        command("rotate")
    assert [key["kid"] for key in listed()] == [only["kid"]]
    assert audit.KINDS["key:rotated"]


def test_a_key_that_another_process_prunes_at_this_moment_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keys.rotate()
    folder = keys._folder()
    gone = folder / "20200101T000000000000Z-gone.pem"
    monkeypatch.setattr(os, "listdir", lambda _folder: [*(path.name for path in folder.glob("*.pem")), gone.name])
    assert [key.kid for key in keys.ring()] == [kept.kid]
