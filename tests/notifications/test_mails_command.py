"""The command `manage.py mails`."""

import json
import re
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command, load_command_class
from pytest_django import Settings

from accounts.models import AuditEvent, OneTimeToken, User
from notifications import outbox
from notifications.content import composing, kinds
from notifications.models import OutboxMail, State
from tests.notifications.mail_server import CLOSE, MailServer
from tests.usermanager.processes import manage

Enqueue = Callable[..., OutboxMail]
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str) -> str:
    call_command("mails", *arguments)
    return capsys.readouterr().out


@pytest.fixture
def failed(enqueue: Enqueue) -> OutboxMail:
    claimed = outbox.claim(enqueue().pk)
    assert claimed
    outbox.mark_failed(claimed, "550 no such user")
    return claimed


def test_list_shows_the_newest_emails_first(failed: OutboxMail, enqueue: Enqueue, capsys: Capture) -> None:
    newest = enqueue(email="bruno@example.com")
    lines = run(capsys, "list").splitlines()
    assert lines[0].split("\t")[:2] == ["id", "created_at"]
    assert lines[1].startswith(str(newest.pk))
    assert "550 no such user" in lines[2]


def test_list_can_be_read_by_a_program(failed: OutboxMail, enqueue: Enqueue, capsys: Capture) -> None:
    enqueue()
    (listed,) = json.loads(run(capsys, "list", "--json", "--state", "failed"))
    assert (listed["id"], listed["state"], listed["attempts"]) == (str(failed.pk), "failed", 1)
    assert len(json.loads(run(capsys, "list", "--json", "--limit", "1"))) == 1


@pytest.mark.parametrize("by", ["id", "all"])
def test_retry_makes_failed_emails_pending(failed: OutboxMail, capsys: Capture, by: str) -> None:
    assert run(capsys, "retry", str(failed.pk) if by == "id" else "--all") == "1 email will be sent again.\n"
    stored = OutboxMail.objects.get()
    assert (stored.state, stored.attempts) == (State.PENDING, 0)
    event = AuditEvent.objects.get()
    assert (event.kind, event.actor_id, event.data["mail"]) == ("mail:retried", None, str(failed.pk))


def test_retry_of_all_changes_failed_emails_alone(enqueue: Enqueue, capsys: Capture) -> None:
    outbox.cancel(OutboxMail.objects.filter(pk=enqueue().pk), "no")
    assert run(capsys, "retry", "--all") == "0 emails will be sent again.\n"
    assert OutboxMail.objects.get().state == State.CANCELLED


def test_retry_rejects_an_unknown_id_and_retries_none(failed: OutboxMail) -> None:
    unknown = uuid4()
    with pytest.raises(CommandError, match=f"no email {unknown}") as raised:
        call_command("mails", "retry", str(failed.pk), str(unknown))
    assert raised.value.returncode == 1
    assert OutboxMail.objects.get().state == State.FAILED


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "--all", str(uuid4())]])
def test_retry_requires_either_ids_or_all(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--all") as raised:
        call_command("mails", *arguments)
    assert raised.value.returncode == 2


@pytest.mark.parametrize("arguments", [[], ["retry", "7"], ["preview", "greeting"], ["list", "--state", "lost"]])
def test_invalid_arguments_are_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("mails", *arguments)


def _forms_with_link(kind: str) -> int:
    return sum(bool(context["link"]) for context in composing.sample_contexts(kind))


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_preview_shows_each_kind_and_writes_nothing(db: None, capsys: Capture, kind: str) -> None:
    shown = run(capsys, "preview", kind, "--locale", "es")
    assert shown.startswith("Subject: ")
    assert "Hola:" in shown
    assert shown.count("?token=") == shown.count("?token=…") == _forms_with_link(kind)
    assert "<html" in run(capsys, "preview", kind, "--html")
    assert not OutboxMail.objects.exists()
    assert not OneTimeToken.objects.exists()


def test_show_prints_an_email_without_its_secret(enqueue: Enqueue, ana: User, capsys: Capture) -> None:
    mail = enqueue("password_reset")
    shown = run(capsys, "show", str(mail.pk))
    assert re.search(r"^state +owed$", shown, re.MULTILINE)
    assert "Subject: " in shown
    assert "?token=…" in shown
    document = json.loads(run(capsys, "show", str(mail.pk), "--json"))
    assert (document["email"], document["kind"], document["data"]) == ("ana@example.com", "password_reset", {})
    assert "?token=…" in document["text"]
    assert not OneTimeToken.objects.exists()


def test_cancel_cancels_a_pending_email(enqueue: Enqueue, capsys: Capture) -> None:
    mail, other = enqueue(), enqueue()
    assert run(capsys, "cancel", str(mail.pk)) == "1 email cancelled.\n"
    states = dict(OutboxMail.objects.values_list("pk", "state"))
    assert states == {mail.pk: State.CANCELLED, other.pk: State.PENDING}


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_an_impossible_action_fails_with_a_reason(enqueue: Enqueue, action: str) -> None:
    claimed = outbox.claim(enqueue().pk)
    assert claimed
    outbox.mark_sent(claimed)
    with pytest.raises(CommandError, match=f"^{claimed.pk}: This email was already sent.$") as raised:
        call_command("mails", action, str(claimed.pk))
    assert raised.value.returncode == 1
    assert OutboxMail.objects.get().state == State.SENT
    assert not AuditEvent.objects.exists()


def test_possible_actions_are_performed_and_the_others_explained(
    failed: OutboxMail, enqueue: Enqueue, capsys: Capture
) -> None:
    sending = enqueue()
    outbox.claim(sending.pk)
    call_command("mails", "retry", str(failed.pk), str(sending.pk))
    output = capsys.readouterr()
    assert output.out == "1 email will be sent again.\n"
    assert output.err == f"{sending.pk}: This email is being sent.\n"


def test_cancel_warns_that_an_email_being_sent_may_still_go_out(enqueue: Enqueue, capsys: Capture) -> None:
    sending, pending = enqueue(), enqueue()
    outbox.claim(sending.pk)
    output = run(capsys, "cancel", str(sending.pk), str(pending.pk))
    assert output == "2 emails cancelled; 1 email being sent right now may still go out.\n"
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.CANCELLED}


class TestSmtpDiagnostics:
    """Tests `mails test ADDRESS` with real servers."""

    def test_success_is_reported(self, mail_server: MailServer, capsys: Capture) -> None:
        assert "accepted the email" in run(capsys, "test", "ana@example.com")
        assert mail_server.one()["To"] == "ana@example.com"

    def test_the_command_runs_as_its_own_process(self, mail_server: MailServer, tmp_path: Path) -> None:
        """In a process of its own: its settings have what EMAIL_URL says and nothing of the tests'."""
        output = manage("mails", "test", "ana@example.com", EMAIL_URL=mail_server.url, DATA_DIR=str(tmp_path))
        assert (output.returncode, output.stderr) == (0, "")
        assert output.stdout.startswith("The mail server accepted the email.")
        assert mail_server.one()["To"] == "ana@example.com"

    @pytest.mark.parametrize(
        ("answers", "says"),
        [
            ({"MAIL": "550 5.7.1 not you"}, "check EMAIL_FROM. It said: 550 5.7.1 not you"),
            ({"RCPT": "550 5.1.1 no such user"}, "rejects the recipient: 550 5.1.1 no such user"),
            ({"DATA": "554 5.7.1 spam"}, "rejects the email: 554 5.7.1 spam"),
            ({"RCPT": CLOSE}, "closed the connection"),
            ({"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}, "use smtp+tls://"),
            ({"MAIL": "530 5.7.0 Authentication required"}, "requires a login"),
            ({"RCPT": "535 5.7.8 bad credentials"}, "the user or the password in EMAIL_URL"),
            ({"MAIL": "421 4.7.0 too many connections"}, "try again later"),
            ({"RCPT": "451 4.7.1 greylisted"}, "try again later"),
            ({"RCPT": "554 5.7.1 <ana@example.com>: Relay access denied"}, "only after a login"),
            ({"RCPT": "550 5.7.1 Relaying denied"}, "only after a login"),
            ({"RCPT": "504 5.5.2 <h>: Helo command rejected"}, "set EMAIL_EHLO_NAME to this machine's name"),
            ({"RCPT": "554 5.7.1 <h[192.0.2.1]>: Client host rejected"}, "this machine's IP address"),
            ({"EHLO": "554 5.7.1 blocked using bl.example"}, "this machine's IP address"),
            ({"RCPT": "553 5.7.1 <a@b.c>: Sender address rejected"}, "check EMAIL_FROM"),
        ],
    )
    def test_a_rejection_is_explained(self, mail_server: MailServer, answers: dict[str, str], says: str) -> None:
        mail_server.answers = answers
        refuses("ana@example.com", says)

    def test_a_server_that_is_not_there(self, mail_server: MailServer) -> None:
        mail_server.close()
        refuses("ana@example.com", f"No server listens at 127.0.0.1:{mail_server.port}")

    def test_a_host_that_is_not_there(self, mail_server: MailServer, settings: Settings) -> None:
        settings.EMAIL_HOST = "mail.invalid"
        refuses("ana@example.com", "The host mail.invalid does not exist")

    def test_a_server_without_starttls(self, mail_server: MailServer, settings: Settings) -> None:
        settings.EMAIL_USE_TLS = True
        refuses("ana@example.com", "does not support what EMAIL_URL requires")

    def test_a_server_without_tls(self, mail_server: MailServer, settings: Settings) -> None:
        settings.EMAIL_USE_SSL = True
        refuses("ana@example.com", "does not start with TLS")

    def test_a_server_without_authentication(self, mail_server: MailServer, settings: Settings) -> None:
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "ana", "secret"
        refuses("ana@example.com", "does not support what EMAIL_URL requires")

    def test_a_server_that_is_silent(self, settings: Settings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
            settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
            settings.EMAIL_TIMEOUT = 0.2
            refuses("ana@example.com", "does not answer")

    def test_with_a_mail_folder_the_folder_is_named(self, settings: Settings, tmp_path: Path, capsys: Capture) -> None:
        settings.EMAIL_BACKEND = "notifications.sending.mail_folder.EmailBackend"
        settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
        output = run(capsys, "test", "ana@example.com")
        assert f"a file in {tmp_path / 'mail'}" in output
        assert "EMAIL_URL names no mail server" in output
        assert "spam" not in output

    def test_with_the_console_that_is_named(self, settings: Settings, capsys: Capture) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
        output = run(capsys, "test", "ana@example.com")
        assert "If you can read this" in output
        assert output.endswith("EMAIL_URL names no mail server.\n")

    def test_a_folder_that_cannot_be_written(self, settings: Settings, tmp_path: Path) -> None:
        settings.EMAIL_BACKEND = "notifications.sending.mail_folder.EmailBackend"
        settings.EMAIL_FILE_PATH = str(tmp_path / "file" / "folder")
        (tmp_path / "file").touch()
        refuses("ana@example.com", "could not be sent: [Errno 20] Not a directory")


def refuses(address: str, says: str) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("mails", "test", address)
    assert raised.value.returncode == 1
    assert says in str(raised.value)
    assert "secret" not in str(raised.value)


COMMANDS = [*(f"mails {name}" for name in ("list", "show", "retry", "cancel", "test", "preview")), "mails", "relay"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_in_an_example_that_the_command_understands(command: str, capsys: Capture) -> None:
    name = command.split(maxsplit=1)[0]
    with pytest.raises(SystemExit) as end:
        call_command(*command.split(), "--help")
    assert end.value.code == 0
    example = capsys.readouterr().out.rpartition("\nexample:\n  python manage.py ")[2]
    parser = load_command_class("notifications", name).create_parser("manage.py", name)
    assert parser.parse_args(shlex.split(example)[1:])
