"""`manage.py prune` deletes expired rows and prints their numbers."""

import json
from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import TaskResult

from accounts import pruning
from accounts.models import (
    OneTimeToken,
    PendingLogin,
    RateBucket,
    Session,
    SpentChallenge,
    TotpSecret,
    User,
)
from accounts.models.identifiers import new_id

pytestmark = pytest.mark.django_db


def pruned(*arguments: str) -> str:
    printed = StringIO()
    call_command("prune", *arguments, stdout=printed)
    return printed.getvalue()


def test_a_new_installation_has_nothing_to_delete() -> None:
    numbers = json.loads(pruned("--json"))
    assert {"sessions", "one_time_tokens", "audit_events", "mails", "task_results"} <= set(numbers)
    assert {"pending_logins", "spent_challenges", "unconfirmed_totp"} <= set(numbers)
    assert set(numbers.values()) == {0}


def test_only_expired_rows_are_deleted() -> None:
    now = timezone.now()
    for task_id, age in (("old", timedelta(days=8)), ("new", timedelta(days=6))):
        TaskResult.objects.create(task_id=task_id)
        TaskResult.objects.filter(task_id=task_id).update(date_done=now - age)
    assert "1  task results" in pruned()
    assert TaskResult.objects.get().task_id == "new"


def test_expired_rows_of_second_factors_are_deleted(ana: User) -> None:
    now = timezone.now()
    for number, expires_at in enumerate((now - timedelta(seconds=1), now + timedelta(minutes=1))):
        digest = bytes([number]) * 32
        PendingLogin.objects.create(
            user=ana, purpose="login", digest=digest, password_mark=digest, expires_at=expires_at
        )
        SpentChallenge.objects.create(digest=digest.hex(), expires_at=expires_at)
        TotpSecret.objects.create(user=ana, name="App", secret=digest, expires_at=expires_at)
    TotpSecret.objects.create(user=ana, name="App", secret=b"x", expires_at=now, confirmed_at=now)
    numbers = json.loads(pruned("--json"))
    assert {name for name, number in numbers.items() if number == 1} == {
        *("pending_logins", "spent_challenges", "unconfirmed_totp")
    }
    assert TotpSecret.objects.count() == 2


def test_rows_are_deleted_in_slices(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH_SIZE", 2)
    long_ago = timezone.now() - timedelta(days=99)
    for number in range(5):
        Session.objects.create(user=ana, expires_at=long_ago, idle_expires_at=long_ago)
        OneTimeToken.objects.create(
            user=ana, digest=bytes([number]) * 32, email=ana.email, request=new_id(), expires_at=long_ago
        )
        RateBucket.objects.create(key=str(number), hits=1, resets_at=1)
        TaskResult.objects.create(task_id=str(number))
    TaskResult.objects.update(date_done=long_ago)
    with CaptureQueriesContext(connection) as queries:
        numbers = json.loads(pruned("--json"))
    kinds = {"sessions", "one_time_tokens", "rate_counters", "task_results"}
    assert {name for name, number in numbers.items() if number == 5} == kinds
    deletions = Counter(query["sql"].split()[2] for query in queries if query["sql"].startswith("DELETE"))
    assert list(deletions.values()) == [3] * len(kinds)
