"""An operator lists, creates and deletes users with `manage.py users`."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.management import base
from accounts.models import AuditEvent, Role, User
from accounts.signals import user_invited
from tests.conftest import OTHER_PASSWORD

pytestmark = pytest.mark.django_db
UNKNOWN_ID = "01a20945-f308-721a-bebb-44953872b004"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def users(*words: str, out: StringIO | None = None) -> str:
    """Returns the output of `manage.py users …`."""
    out = out or StringIO()
    call_command("users", *words, stdout=out)
    return out.getvalue()


def listed(*words: str) -> list[str]:
    """Returns the addresses that `users list --json` prints."""
    return [user["email"] for user in json.loads(users("list", "--json", *words))]


def failure(*words: str) -> tuple[int, str]:
    """Returns the exit status and the message of a command that fails."""
    with pytest.raises(CommandError) as raised:
        users(*words)
    assert "\n" not in str(raised.value)
    return raised.value.returncode, str(raised.value)


def typed(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(line)))


def last_event(kind: str) -> AuditEvent:
    return AuditEvent.objects.filter(kind=kind).latest("id")


class TestListing:
    def test_is_an_empty_array_without_users(self) -> None:
        assert users("list", "--json") == "[]\n"

    def test_shows_the_newest_first(self, ana: User, bruno: User) -> None:
        assert listed() == ["bruno@example.com", "ana@example.com"]

    def test_shows_users_as_the_api_does(self, ana: User, root: User, client_of: Callable[[User], Any]) -> None:
        ana.metadata, ana.locale = {"plan": "pro"}, "es"
        ana.save(update_fields=["metadata", "locale"])
        answers = client_of(root).get("/api/v1/users/").json()["results"]
        assert json.loads(users("list", "--json")) == answers
        assert [json.loads(users("show", user.email, "--json")) for user in (root, ana)] == answers

    def test_writes_a_line_for_each_user_to_a_pipe(self, ana: User) -> None:
        head, line = users("list").splitlines()
        assert head.split("\t")[:3] == ["email", "full_name", "role"]
        assert line.split("\t")[:5] == ["ana@example.com", "Ana", "user", "yes", "yes"]

    def test_prints_a_table_on_a_terminal(self, person: Callable[..., User]) -> None:
        person("ana", full_name="[red]Ana", email="an-address-that-is-long@subdomain.example.com")
        table = users("list", out=Terminal())
        assert "an-address-that-is-long@subdomain.example.com  [red]Ana" in table
        assert "\t" not in table

    def test_splits_many_rows_into_tables(
        self, ana: User, bruno: User, carla: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(base, "ROWS_PER_TABLE", 2)
        lines = users("list", out=Terminal()).splitlines()
        assert ["full name" in line for line in lines] == [True, False, False, True, False]
        assert [line.split()[0] for line in lines if "@" in line] == [carla.email, bruno.email, ana.email]

    def test_prints_no_control_characters(self, person: Callable[..., User]) -> None:
        person("ana", full_name="Ana\x1b[2J\tGarcía")
        assert "Ana[2JGarcía" in users("list")

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            (["--search", "ANA@"], ["ana@example.com"]),
            (["--role", "admin"], ["root@example.com"]),
            (["--is-active", "false"], ["bruno@example.com"]),
            (["--email-verified", "false"], ["ana@example.com"]),
            (["--last-login-after", "2026-01-01"], ["root@example.com"]),
            (["--last-login-before", "2026-01-01"], []),
            (["--created-before", "2020-01-01T00:00:00Z"], []),
            (["--role", "user", "--is-active", "true"], ["ana@example.com"]),
        ],
    )
    def test_has_the_filters_of_the_api(
        self, person: Callable[..., User], filters: list[str], found: list[str]
    ) -> None:
        person("ana", email_verified=False)
        person("bruno", is_active=False)
        person("root", role="admin", last_login_at=timezone.now() + timedelta(days=3650))
        assert listed(*filters) == found

    @pytest.mark.parametrize("ordering", ["created_at", "email", "last_login_at"])
    def test_orders_as_the_api_does(
        self, person: Callable[..., User], root: User, client_of: Callable[[User], Any], ordering: str
    ) -> None:
        person("zoe", last_login_at=timezone.now())
        person("bruno")
        client = client_of(root)
        for way in (ordering, f"-{ordering}"):
            answer = client.get("/api/v1/users/", {"ordering": way}).json()
            assert listed(f"--ordering={way}") == [user["email"] for user in answer["results"]]

    def test_stops_at_the_limit(self, ana: User, bruno: User) -> None:
        assert listed("--limit", "1") == ["bruno@example.com"]

    @pytest.mark.parametrize(
        "words",
        [
            ["--created-after", "yesterday"],
            ["--is-active", "perhaps"],
            ["--limit", "0"],
            ["--limit", "-1"],
            ["--ordering=password"],
        ],
    )
    def test_rejects_invalid_options(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(CommandError):
            users("list", *words)
        assert not capsys.readouterr().out


class TestShowing:
    @pytest.mark.parametrize("name", ["ana@example.com", "ANA@Example.COM", "id"])
    def test_finds_a_user_by_address_and_by_id(self, ana: User, name: str) -> None:
        shown = users("show", str(ana.pk) if name == "id" else name)
        assert f"id              {ana.pk}\n" in shown
        assert "email           ana@example.com\n" in shown

    @pytest.mark.parametrize("name", ["bruno@example.com", UNKNOWN_ID, "ana", ""])
    def test_reports_an_unknown_user(self, ana: User, name: str) -> None:
        assert failure("show", name) == (1, f"There is no user {name}.")


class TestCreating:
    def test_invites_a_user_without_a_password(self, db: None) -> None:
        invited: list[User] = []

        def note(user: User, **_others: Any) -> None:
            invited.append(user)

        user_invited.connect(note)
        try:
            printed = users("create", "Dora@example.com", "--full-name", " Dora D. ", "--locale", "es")
        finally:
            user_invited.disconnect(note)
        dora = User.objects.get(email_key="dora@example.com")
        assert printed == f"Created Dora@example.com with the id {dora.pk} and invited them to choose a password.\n"
        assert (dora.full_name, dora.locale, dora.role.name, dora.email_verified) == ("Dora D.", "es", "user", False)
        assert invited == [dora]
        assert not dora.has_usable_password()
        assert last_event("user:created").actor_id is None

    def test_reads_the_password_from_the_first_line_with_its_spaces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        typed(monkeypatch, f" {OTHER_PASSWORD} ñ\r\nanother line\n".encode())
        users("create", "dora@example.com", "--password-stdin", "--verified", "--role", "admin")
        dora = User.objects.get(email_key="dora@example.com")
        assert dora.check_password(f" {OTHER_PASSWORD} ñ")
        assert dora.email_verified
        assert dora.role.is_admin

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            (b"", 2),
            (b"\n", 2),
            (b"correct horse \0 battery\n", 2),
            (b"\xff\xfe\n", 2),
            (b"password\n", 1),
            (b"dora\n", 1),
        ],
    )
    def test_rejects_an_invalid_password(self, monkeypatch: pytest.MonkeyPatch, line: bytes, status: int) -> None:
        typed(monkeypatch, line)
        assert failure("create", "dora@example.com", "--password-stdin")[0] == status
        assert not User.objects.exists()

    def test_rejects_a_known_address(self, ana: User) -> None:
        assert failure("create", "ANA@example.com") == (1, "There is an account with this address already.")
        assert User.objects.count() == 1

    def test_rejects_an_unknown_role(self, role: Callable[..., Role]) -> None:
        role("support")
        answer = failure("create", "dora@example.com", "--role", "boss")
        assert answer == (1, "There is no role boss. The roles are: admin, support, user.")
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        "words",
        [
            ["dora"],
            ["dora@example.com", "--full-name", "Do\nra"],
            ["dora@example.com", "--full-name", "x" * 151],
            ["dora@example.com", "--locale", "fr"],
            [],
        ],
    )
    def test_rejects_what_the_api_rejects(self, words: list[str]) -> None:
        failure("create", *words)
        assert not User.objects.exists()


class TestDeleting:
    def test_does_not_prompt_with_yes(self, ana: User) -> None:
        assert users("delete", "ana@example.com", "--yes") == "ana@example.com is deleted.\n"
        assert not User.objects.exists()
        assert last_event("user:deleted").user_id == ana.pk

    def test_needs_a_terminal_to_prompt_at(self, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
        typed(monkeypatch, b"y\n")
        assert failure("delete", "ana@example.com") == (2, "There is no terminal to prompt at: add --yes.")
        assert User.objects.exists()

    @pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("YES ", True), ("", False), ("no", False)])
    def test_prompts_first(self, ana: User, monkeypatch: pytest.MonkeyPatch, answer: str, is_deleted: bool) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
        if is_deleted:
            users("delete", "ana@example.com")
        else:
            assert failure("delete", "ana@example.com") == (1, "Nothing was deleted.")
        assert User.objects.exists() != is_deleted


def test_an_action_is_required() -> None:
    failure()
