"""Errors that quote the email: neither the log nor Celery's results get the secret of a link."""

from pathlib import Path

import pytest
from django_celery_results.models import TaskResult
from pytest_django import Settings

from accounts import users
from notifications import outbox
from notifications.models import OutboxMail, Queue, State
from notifications.sending import publisher
from notifications.sending.worker_pool import WorkerPool
from tests.notifications.conftest import Broker
from tests.notifications.mail_server import MailServer
from tests.notifications.test_rendering import override
from tests.usermanager.processes import clean_environment, eventually, running

QUOTING = "tests.notifications.quoting_backend.EmailBackend"
SUBJECT = "notifications/en/password_reset/subject.txt"
SLIP = "{{ site|default:nowhere }}"  # Django's words about it quote all that the template was given


@pytest.fixture
def reset(sqlite: str) -> OutboxMail:
    """A pending email with a link."""
    users.create("ana@example.com", password="correct horse battery", actor=None)
    OutboxMail.objects.all().delete()
    return outbox.enqueue("password_reset", email="ana@example.com", language="en")


def work(mail: OutboxMail) -> OutboxMail:
    """Delivers it with a worker pool, as the relay does; returns the row afterwards."""
    pool = WorkerPool(1, on_half_free=lambda: None)
    pool.offer(mail.pk)
    eventually(lambda: OutboxMail.objects.get(pk=mail.pk).attempts)
    pool.shut_down()
    pool.wait()
    return OutboxMail.objects.get(pk=mail.pk)


def test_an_error_in_an_operators_template_stops_no_email_and_logs_no_secret(
    reset: OutboxMail, data_dir: Path, mail_server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    override(data_dir, SUBJECT, SLIP)
    assert work(reset).state == State.SENT
    assert mail_server.one()["Subject"] == "Reset your UserManager password"
    assert f"{SUBJECT} cannot be used (VariableDoesNotExist)" in caplog.text
    assert "token=" not in caplog.text


def test_a_pool_survives_an_error_that_quotes_the_email_and_logs_its_type_and_place(
    reset: OutboxMail, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = QUOTING
    settled = work(reset)
    assert (settled.state, settled.last_error) == (State.PENDING, "RuntimeError")
    assert "RuntimeError" in caplog.text
    assert "quoting_backend.py" in caplog.text
    assert "token=" not in caplog.text


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.usefixtures("fresh_publisher", "unhurried")
def test_a_worker_puts_no_text_of_such_an_error_into_log_or_results(
    reset: OutboxMail, sqlite: str, broker: Broker, data_dir: Path
) -> None:
    override(data_dir, SUBJECT, SLIP)
    environment = clean_environment(
        **broker.environment, DATABASE_URL=sqlite, DATA_DIR=str(data_dir), EMAIL_BACKEND=QUOTING
    )
    command = ["-m", "celery", "-A", "celery_app", "worker", "--concurrency", "1", "--loglevel", "INFO"]
    assert publisher.publish(reset.pk, Queue.NOW)
    with running([*command, "--without-gossip", "--without-mingle"], environment, ready="ready") as worker:
        result = eventually(lambda: TaskResult.objects.filter(status="FAILURE").first(), seconds=40)
        worker.stop()
        log = worker.printed + worker.output.read()
    assert "VariableDoesNotExist" in log
    assert "RuntimeError" in log
    assert "token=" not in log
    stored = " ".join(str(value) for value in vars(result).values())
    assert "RuntimeError" in stored
    assert "token=" not in stored
