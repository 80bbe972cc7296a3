"""Each of our commands and each of their actions runs where every statement commits by itself."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connection
from django.utils import timezone

from accounts.jwt import signing_keys
from accounts.management.base import ActionsCommand
from accounts.models import User
from notifications.models import OutboxMail, State
from tests.autocommit.scene import Scene
from tests.conftest import OTHER_PASSWORD
from tests.usermanager.processes import clean_environment, eventually, running

OURS = ("accounts", "notifications", "usermanager")
Arguments = Callable[[Scene, Path], list[str]]


def ana(scene: Scene, folder: Path) -> list[str]:
    return [scene.ana.email]


def invited(scene: Scene, folder: Path) -> list[str]:
    return [scene.invited.email]


def nothing(scene: Scene, folder: Path) -> list[str]:
    return []


def pending(scene: Scene, folder: Path) -> list[str]:
    assert scene.invited.pk
    return [str(scene.mail("invitation").pk)]


def new(scene: Scene, folder: Path) -> list[str]:
    return [f"new-{scene.ana.pk}@example.com"]


def file_to_import(scene: Scene, folder: Path) -> list[str]:
    """A new user, a known one, and one of a new role."""
    file = folder / "users.csv"
    email = scene.ana.email
    file.write_text(
        f"email,full_name,role\nnew-{email},Nora,user\n{email},Ana G.,user\nother-{email},Omar,{folder.name}\n"
    )
    return [str(file), "--on-conflict", "update", "--invite", "--create-roles"]


CASES: dict[str, Arguments] = {
    "audit list": nothing,
    "audit verify": nothing,
    "backup": lambda scene, folder: [str(folder / "backup.tar.gz")],
    "createadmin": lambda scene, folder: [*new(scene, folder), "--password-stdin"],
    "export_users": lambda scene, folder: [str(folder / "users.jsonl"), "--with-hashes"],
    "import_users": file_to_import,
    "keys list": nothing,
    "keys revoke": lambda scene, folder: [signing_keys.ensure().kid],
    "keys rotate": nothing,
    "mails cancel": pending,
    "mails list": nothing,
    "mails preview": lambda scene, folder: ["welcome"],
    "mails retry": pending,
    "mails show": pending,
    "mails test": lambda scene, folder: ["me@example.com"],
    "prepare": nothing,
    "prune": nothing,
    "seed": lambda scene, folder: ["3", "--yes", "--second-factors", "2", "--seed", str(scene.ana.pk.int % 1_000_000)],
    "sessions list": ana,
    "sessions revoke": ana,
    "users activate": lambda scene, folder: [scene.suspended.email],
    "users create": new,
    "users delete": lambda scene, folder: [scene.ana.email, "--yes"],
    "users invite": invited,
    "users list": nothing,
    "users reset-mfa": lambda scene, folder: [scene.ana.email, "--yes"],
    "users revoke-invitation": invited,
    "users set-role": lambda scene, folder: [scene.ana.email, scene.role.name],
    "users show": ana,
    "users suspend": ana,
    "users unlock": ana,
    "users verify": ana,
}
# The commands that run until they are stopped, with the tests that run them on both databases.
LASTING = {"relay": "tests/autocommit/test_commands.py", "serve": "tests/attacks/conftest.py"}


def commands() -> Iterator[str]:
    """Yields each of our commands with each of its actions."""
    for name in (name for name, app in get_commands().items() if app in OURS):
        command = load_command_class(str(get_commands()[name]), name)
        command.create_parser("manage.py", name)
        actions = command._actions.choices if isinstance(command, ActionsCommand) else [""]
        yield from (f"{name} {action}".rstrip() for action in actions)


def test_each_command_has_a_case() -> None:
    assert set(commands()) == CASES.keys() | LASTING.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_runs(scene: Scene, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(OTHER_PASSWORD.encode())))
    arguments = CASES[name](scene, tmp_path)
    if name == "backup" and connection.vendor == "postgresql":
        with pytest.raises(CommandError, match="pg_dump"):
            call_command(*name.split(), *arguments)
    else:
        call_command(*name.split(), *arguments)


def test_the_relay_delivers_and_ends_suspensions(scene: Scene, tmp_path: Path) -> None:
    assert scene.invited.pk
    mail = scene.mail("invitation")
    User.objects.filter(pk=scene.suspended.pk).update(suspended_until=timezone.now())
    environment = clean_environment(DATABASE_URL=scene.database, DATA_DIR=str(tmp_path))
    with running(["manage.py", "relay"], environment, ready="the relay is ready") as relay:
        eventually(lambda: OutboxMail.objects.get(pk=mail.pk).state == State.SENT)
        eventually(lambda: User.objects.get(pk=scene.suspended.pk).is_active)
        assert relay.stop() == 0
