"""`manage.py prune` deletes what has expired and says how much."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_celery_results.models import TaskResult

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
