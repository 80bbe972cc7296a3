"""`--help` of a command ends with an example that works."""

import shlex

import pytest
from django.core.management import call_command, load_command_class

COMMANDS = ["createadmin", "users", "sessions", "keys", "audit", "seed"]
ACTIONS = [
    *(
        f"users {name}"
        for name in ("list", "show", "create", "invite", "suspend", "activate", "verify", "unlock", "set-role")
    ),
    *(
        "users delete",
        "sessions list",
        "sessions revoke",
        "keys list",
        "keys rotate",
        "keys revoke",
        "audit list",
        "audit verify",
    ),
]


@pytest.mark.parametrize("command", [*COMMANDS, *ACTIONS])
def test_help_ends_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(*command.split(), "--help")
    assert ended.value.code == 0
    assert f"\nexample:\n  python manage.py {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ACTIONS)
def test_the_command_accepts_its_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, action = command.split()
    parser = load_command_class("accounts", name).create_parser("manage.py", name)
    with pytest.raises(SystemExit):
        parser.parse_args([action, "--help"])
    example = capsys.readouterr().out.rpartition("python manage.py ")[2]
    assert parser.parse_args(shlex.split(example)[1:])
