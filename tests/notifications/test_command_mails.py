"""manage.py mails."""

import json
import shlex
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command, load_command_class

from accounts.models import OneTimeToken
from notifications import mails, outbox
from notifications.models import OutboxMail, State

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


@pytest.mark.parametrize("kind", mails.KINDS)
def test_preview_shows_each_kind_and_writes_nothing(db: None, capsys: Capture, kind: str) -> None:
    shown = run(capsys, "preview", kind, "--locale", "es")
    assert shown.startswith("Subject: ")
    assert "Hola:" in shown
    assert shown.count("?token=") == shown.count("?token=…") == (kind in mails.WITH_LINK)
    assert "<html" in run(capsys, "preview", kind, "--html")
    assert not OutboxMail.objects.exists()
    assert not OneTimeToken.objects.exists()


@pytest.mark.parametrize("command", ["mails", "mails list", "mails retry", "mails preview", "relay"])
def test_help_ends_in_an_example_that_the_command_understands(command: str, capsys: Capture) -> None:
    name = command.split(maxsplit=1)[0]
    with pytest.raises(SystemExit) as end:
        call_command(*command.split(), "--help")
    assert end.value.code == 0
    example = capsys.readouterr().out.rpartition("\nexample:\n  python manage.py ")[2]
    parser = load_command_class("notifications", name).create_parser("manage.py", name)
    assert parser.parse_args(shlex.split(example)[1:])
