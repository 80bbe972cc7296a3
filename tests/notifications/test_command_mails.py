"""manage.py mails."""

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
from notifications import mails, outbox
from notifications.models import OutboxMail, State
from tests.notifications.post import CLOSE, Post
from tests.usermanager.processes import manage

Owe = Callable[..., OutboxMail]
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: str) -> str:
    call_command("mails", *arguments)
    return capsys.readouterr().out


@pytest.fixture
def failed(owe: Owe) -> OutboxMail:
    claimed = outbox.claim(owe().pk)
    assert claimed
    outbox.settle_failed(claimed, "550 no such user")
    return claimed


def test_list_shows_the_newest_mails_first(failed: OutboxMail, owe: Owe, capsys: Capture) -> None:
    newest = owe(email="bruno@example.com")
    lines = run(capsys, "list").splitlines()
    assert lines[0].split("\t")[:2] == ["id", "created_at"]
    assert lines[1].startswith(str(newest.pk))
    assert "550 no such user" in lines[2]


def test_list_can_be_read_by_a_program(failed: OutboxMail, owe: Owe, capsys: Capture) -> None:
    owe()
    (listed,) = json.loads(run(capsys, "list", "--json", "--state", "failed"))
    assert (listed["id"], listed["state"], listed["attempts"]) == (str(failed.pk), "failed", 1)
    assert len(json.loads(run(capsys, "list", "--json", "--limit", "1"))) == 1


@pytest.mark.parametrize("by", ["id", "all"])
def test_retry_owes_anew_what_failed(failed: OutboxMail, capsys: Capture, by: str) -> None:
    assert run(capsys, "retry", str(failed.pk) if by == "id" else "--all") == "1 mail will be tried again.\n"
    stored = OutboxMail.objects.get()
    assert (stored.state, stored.attempts) == (State.OWED, 0)
    event = AuditEvent.objects.get()
    assert (event.kind, event.actor_id, event.data["mail"]) == ("mail:retried", None, str(failed.pk))


def test_retry_of_all_leaves_alone_what_did_not_fail(owe: Owe, capsys: Capture) -> None:
    outbox.cancel(OutboxMail.objects.filter(pk=owe().pk), "no")
    assert run(capsys, "retry", "--all") == "0 mails will be tried again.\n"
    assert OutboxMail.objects.get().state == State.CANCELLED


def test_retry_refuses_a_mail_that_is_not_there_and_retries_none(failed: OutboxMail) -> None:
    unknown = uuid4()
    with pytest.raises(CommandError, match=f"no mail {unknown}") as refusal:
        call_command("mails", "retry", str(failed.pk), str(unknown))
    assert refusal.value.returncode == 1
    assert OutboxMail.objects.get().state == State.FAILED


@pytest.mark.parametrize("arguments", [["retry"], ["retry", "--all", str(uuid4())]])
def test_retry_wants_either_ids_or_all(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match="--all") as refusal:
        call_command("mails", *arguments)
    assert refusal.value.returncode == 2


@pytest.mark.parametrize("arguments", [[], ["retry", "7"], ["preview", "greeting"], ["list", "--state", "lost"]])
def test_what_makes_no_sense_is_a_fault_of_usage(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("mails", *arguments)


def _forms_with_link(kind: str) -> int:
    return sum(bool(context["link"]) for context in mails.sample_contexts(kind))


@pytest.mark.parametrize("kind", mails.KINDS)
def test_preview_shows_each_kind_and_writes_nothing(db: None, capsys: Capture, kind: str) -> None:
    shown = run(capsys, "preview", kind, "--locale", "es")
    assert shown.startswith("Subject: ")
    assert "Hola:" in shown
    assert shown.count("?token=") == shown.count("?token=…") == _forms_with_link(kind)
    assert "<html" in run(capsys, "preview", kind, "--html")
    assert not OutboxMail.objects.exists()
    assert not OneTimeToken.objects.exists()


def test_show_tells_all_about_a_mail_and_blanks_its_secret(owe: Owe, ana: User, capsys: Capture) -> None:
    mail = owe("password_reset")
    shown = run(capsys, "show", str(mail.pk))
    assert re.search(r"^state +owed$", shown, re.MULTILINE)
    assert "Subject: " in shown
    assert "?token=…" in shown
    document = json.loads(run(capsys, "show", str(mail.pk), "--json"))
    assert (document["email"], document["kind"], document["data"]) == ("ana@example.com", "password_reset", {})
    assert "?token=…" in document["text"]
    assert not OneTimeToken.objects.exists()


def test_cancel_owes_a_mail_no_more(owe: Owe, capsys: Capture) -> None:
    mail, other = owe(), owe()
    assert run(capsys, "cancel", str(mail.pk)) == "1 mail will not be sent.\n"
    states = dict(OutboxMail.objects.values_list("pk", "state"))
    assert states == {mail.pk: State.CANCELLED, other.pk: State.OWED}


@pytest.mark.parametrize("deed", ["retry", "cancel"])
def test_where_nothing_can_be_done_the_reason_is_told_and_the_command_fails(owe: Owe, deed: str) -> None:
    claimed = outbox.claim(owe().pk)
    assert claimed
    outbox.settle_sent(claimed)
    with pytest.raises(CommandError, match=f"^{claimed.pk}: It was sent already.$") as refusal:
        call_command("mails", deed, str(claimed.pk))
    assert refusal.value.returncode == 1
    assert OutboxMail.objects.get().state == State.SENT
    assert not AuditEvent.objects.exists()


def test_what_can_be_done_is_done_and_the_rest_told(failed: OutboxMail, owe: Owe, capsys: Capture) -> None:
    sending = owe()
    outbox.claim(sending.pk)
    call_command("mails", "retry", str(failed.pk), str(sending.pk))
    told = capsys.readouterr()
    assert told.out == "1 mail will be tried again.\n"
    assert told.err == f"{sending.pk}: It is being sent now.\n"


def test_who_cancels_a_mail_in_the_hands_of_its_sender_learns_that_it_may_still_go(owe: Owe, capsys: Capture) -> None:
    sending, owed = owe(), owe()
    outbox.claim(sending.pk)
    told = run(capsys, "cancel", str(sending.pk), str(owed.pk))
    assert told == "2 mails will not be tried again; 1 mail being sent right now may still go out.\n"
    assert set(OutboxMail.objects.values_list("state", flat=True)) == {State.CANCELLED}


class TestTrial:
    """mails test ADDRESS, against real servers."""

    def test_a_mail_that_goes_is_told(self, post: Post, capsys: Capture) -> None:
        assert "was taken" in run(capsys, "test", "ana@example.com")
        assert post.one()["To"] == "ana@example.com"

    def test_it_goes_as_an_operator_runs_it(self, post: Post, tmp_path: Path) -> None:
        """In a process of its own: its settings have what EMAIL_URL says and nothing of the tests'."""
        told = manage("mails", "test", "ana@example.com", EMAIL_URL=post.url, DATA_DIR=str(tmp_path))
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith("The mail was taken.")
        assert post.one()["To"] == "ana@example.com"

    @pytest.mark.parametrize(
        ("answers", "says"),
        [
            ({"MAIL": "550 5.7.1 not you"}, "look at EMAIL_FROM. It said: 550 5.7.1 not you"),
            ({"RCPT": "550 5.1.1 no such user"}, "refuses the address: 550 5.1.1 no such user"),
            ({"DATA": "554 5.7.1 spam"}, "refuses the mail: 554 5.7.1 spam"),
            ({"RCPT": CLOSE}, "hung up"),
            ({"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}, "write smtp+tls://"),
            ({"MAIL": "530 5.7.0 Authentication required"}, "wants a login"),
            ({"RCPT": "535 5.7.8 bad credentials"}, "the user or the password in EMAIL_URL"),
            ({"MAIL": "421 4.7.0 too many connections"}, "try again later"),
            ({"RCPT": "451 4.7.1 greylisted"}, "try again later"),
            ({"RCPT": "554 5.7.1 <ana@example.com>: Relay access denied"}, "only for those who log in"),
            ({"RCPT": "550 5.7.1 Relaying denied"}, "only for those who log in"),
            ({"RCPT": "504 5.5.2 <h>: Helo command rejected"}, "write this machine's own in EMAIL_EHLO_NAME"),
            ({"RCPT": "554 5.7.1 <h[192.0.2.1]>: Client host rejected"}, "this machine's IP address"),
            ({"EHLO": "554 5.7.1 blocked using bl.example"}, "this machine's IP address"),
            ({"RCPT": "553 5.7.1 <a@b.c>: Sender address rejected"}, "look at EMAIL_FROM"),
        ],
    )
    def test_what_the_server_refuses_is_told(self, post: Post, answers: dict[str, str], says: str) -> None:
        post.answers = answers
        refuses("ana@example.com", says)

    def test_a_server_that_is_not_there(self, post: Post) -> None:
        post.close()
        refuses("ana@example.com", f"Nothing listens at 127.0.0.1:{post.port}")

    def test_a_host_that_is_not_there(self, post: Post, settings: Settings) -> None:
        settings.EMAIL_HOST = "mail.invalid"
        refuses("ana@example.com", "There is no host of the name mail.invalid")

    def test_a_server_without_starttls(self, post: Post, settings: Settings) -> None:
        settings.EMAIL_USE_TLS = True
        refuses("ana@example.com", "cannot do what EMAIL_URL asks for")

    def test_a_server_without_tls(self, post: Post, settings: Settings) -> None:
        settings.EMAIL_USE_SSL = True
        refuses("ana@example.com", "does not speak TLS from the beginning")

    def test_a_server_that_wants_no_login(self, post: Post, settings: Settings) -> None:
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "ana", "secret"
        refuses("ana@example.com", "cannot do what EMAIL_URL asks for")

    def test_a_server_that_is_silent(self, settings: Settings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
            settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
            settings.EMAIL_TIMEOUT = 0.2
            refuses("ana@example.com", "does not answer")

    def test_where_mails_are_files_the_folder_is_told(
        self, settings: Settings, tmp_path: Path, capsys: Capture
    ) -> None:
        settings.EMAIL_BACKEND = "notifications.mail_folder.EmailBackend"
        settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
        told = run(capsys, "test", "ana@example.com")
        assert f"a file in {tmp_path / 'mail'}" in told
        assert "EMAIL_URL names no mail server" in told
        assert "spam" not in told

    def test_where_mails_are_printed_that_is_told(self, settings: Settings, capsys: Capture) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
        told = run(capsys, "test", "ana@example.com")
        assert "If you can read this" in told
        assert told.endswith("EMAIL_URL names no mail server.\n")

    def test_a_folder_that_cannot_be_written(self, settings: Settings, tmp_path: Path) -> None:
        settings.EMAIL_BACKEND = "notifications.mail_folder.EmailBackend"
        settings.EMAIL_FILE_PATH = str(tmp_path / "file" / "folder")
        (tmp_path / "file").touch()
        refuses("ana@example.com", "cannot be handed over: [Errno 20] Not a directory")


def refuses(address: str, says: str) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("mails", "test", address)
    assert refusal.value.returncode == 1
    assert says in str(refusal.value)
    assert "secret" not in str(refusal.value)


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
