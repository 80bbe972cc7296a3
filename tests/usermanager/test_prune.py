"""`manage.py prune` deletes what has expired and says how much."""

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
from accounts.models import OneTimeToken, RateBucket, Session, User
from accounts.models.identifiers import new_id

pytestmark = pytest.mark.django_db


def pruned(*arguments: str) -> str:
    printed = StringIO()
    call_command("prune", *arguments, stdout=printed)
    return printed.getvalue()


def test_there_is_nothing_to_delete_in_a_new_house() -> None:
    numbers = json.loads(pruned("--json"))
    assert {"sessions", "one_time_tokens", "audit_events", "mails", "task_results"} <= set(numbers)
    assert set(numbers.values()) == {0}


def test_what_has_expired_goes_and_the_rest_stays() -> None:
    now = timezone.now()
    for task_id, age in (("old", timedelta(days=8)), ("new", timedelta(days=6))):
        TaskResult.objects.create(task_id=task_id)
        TaskResult.objects.filter(task_id=task_id).update(date_done=now - age)
    assert "1  task results" in pruned()
    assert TaskResult.objects.get().task_id == "new"


def test_nothing_goes_in_one_large_step(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
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
