"""Faults whose words quote the mail: they stay where they were, and no secret of a link comes into log or results."""

import sys
from pathlib import Path

import pytest
from django_celery_results.models import TaskResult
from pytest_django import Settings

from accounts import users
from notifications import outbox, publisher
from notifications.crew import Crew
from notifications.models import OutboxMail, Queue, State
from tests.notifications.conftest import Broker
from tests.notifications.post import Post
from tests.notifications.test_rendering import override
from tests.usermanager.processes import clean_environment, eventually, running

TALKATIVE = "tests.notifications.talkative.EmailBackend"
SUBJECT = "notifications/en/password_reset/subject.txt"
SLIP = "{{ site|default:nowhere }}"  # Django's words about it quote all that the template was given


@pytest.fixture
def reset(sqlite: str) -> OutboxMail:
    """A mail with a link that is owed."""
    users.create("ana@example.com", password="correct horse battery", actor=None)
    OutboxMail.objects.all().delete()
    return outbox.put("password_reset", email="ana@example.com", language="en")


def work(mail: OutboxMail) -> OutboxMail:
    """Has a crew try it, as the relay does; returns the row as it is afterwards."""
    crew = Crew(1, on_room=lambda: None)
    crew.offer(mail.pk)
    eventually(lambda: OutboxMail.objects.get(pk=mail.pk).attempts)
    crew.dismiss()
    crew.wait()
    return OutboxMail.objects.get(pk=mail.pk)


def test_a_slip_in_an_operators_template_keeps_no_mail_and_tells_no_secret(
    reset: OutboxMail, data_dir: Path, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    override(data_dir, SUBJECT, SLIP)
    assert work(reset).state == State.SENT
    assert post.one()["Subject"] == "Reset your UserManager password"
    assert f"{SUBJECT} cannot be used (VariableDoesNotExist)" in caplog.text
    assert "token=" not in caplog.text


def test_a_crew_goes_on_after_a_fault_that_quotes_the_mail_and_tells_its_type_and_place(
    reset: OutboxMail, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = TALKATIVE
    settled = work(reset)
    assert (settled.state, settled.last_error) == (State.OWED, "RuntimeError")
    assert "RuntimeError" in caplog.text
    assert "talkative.py" in caplog.text
    assert "token=" not in caplog.text


@pytest.mark.broker
@pytest.mark.process
def test_a_worker_puts_no_word_of_such_a_fault_into_log_or_results(
    reset: OutboxMail, sqlite: str, broker: Broker, data_dir: Path
) -> None:
    override(data_dir, SUBJECT, SLIP)
    environment = clean_environment(
        **broker.environment, DATABASE_URL=sqlite, DATA_DIR=str(data_dir), EMAIL_BACKEND=TALKATIVE
    )
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency", "1", "--loglevel", "INFO"]
    assert publisher.publish(reset.pk, Queue.NOW)
    with running([*command, "--without-gossip", "--without-mingle"], environment, ready="ready") as worker:
        result = eventually(lambda: TaskResult.objects.filter(status="FAILURE").first(), seconds=40)
        worker.stop()
        assert worker.process.stdout
        log = worker.printed + worker.process.stdout.read()
    assert "VariableDoesNotExist" in log
    assert "RuntimeError" in log
    assert "token=" not in log
    stored = " ".join(str(value) for value in vars(result).values())
    assert "RuntimeError" in stored
    assert "token=" not in stored
