"""An operator creates an administrator with `manage.py createadmin`."""

from collections.abc import Iterator
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def createadmin(*words: str) -> str:
    out = StringIO()
    call_command("createadmin", *words, stdout=out)
    return out.getvalue()


def failure(*words: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as raised:
        createadmin(*words)
    return raised.value.returncode, str(raised.value)


def type_at_a_terminal(monkeypatch: pytest.MonkeyPatch, *passwords: str) -> Iterator[str]:
    """Answers the prompts with the passwords. Returns those that were not asked for yet."""
    answers = iter(passwords)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    return answers


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))


def test_prompts_twice_and_creates_an_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    type_at_a_terminal(monkeypatch, PASSWORD, PASSWORD)
    printed = createadmin("Root@example.com")
    root = User.objects.get(email_key="root@example.com")
    assert "Root@example.com is now an administrator" in printed
    assert PASSWORD not in printed
    assert root.role.is_admin
    assert root.is_active
    assert root.email_verified
    assert root.check_password(PASSWORD)
    assert AuditEvent.objects.get(kind="user:created").data == {"role": "admin"}


def test_takes_the_password_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, f"{PASSWORD}\n")
    createadmin("root@example.com", "--password-stdin")
    assert User.objects.get().check_password(PASSWORD)


def test_rejects_two_passwords_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    type_at_a_terminal(monkeypatch, PASSWORD, f"{PASSWORD} ")
    assert failure("root@example.com") == (1, "The two passwords differ.")
    assert not User.objects.exists()


def test_rejects_a_weak_password(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, "root@example.com\n")
    status, line = failure("root@example.com", "--password-stdin")
    assert (status, "too easy to guess" in line) == (1, True)
    assert not User.objects.exists()


def test_needs_a_terminal_to_prompt_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, f"{PASSWORD}\n{PASSWORD}\n")
    assert failure("root@example.com") == (2, "There is no terminal to prompt at: add --password-stdin.")
    assert not User.objects.exists()


def test_points_to_set_role_before_it_prompts_if_the_user_exists(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = type_at_a_terminal(monkeypatch, PASSWORD, PASSWORD)
    status, line = failure("ANA@example.com")
    assert (status, line.endswith("python manage.py users set-role ana@example.com admin")) == (1, True)
    assert len(list(unasked)) == 2
    assert not User.objects.get().role.is_admin
