"""An operator sees and resets the second factors of users with `manage.py users`."""

import json

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import login
from accounts.mfa.proofs import Proof
from accounts.models import RecoveryCode, Role, Session, TotpSecret, User
from notifications.models import OutboxMail
from tests import second_factors
from tests.accounts.test_command_users import Terminal, failure, last_event, listed, users
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def log_in(user: User) -> tuple[int, str]:
    answer = APIClient().post("/api/v1/auth/login/", {"email": user.email, "password": PASSWORD}, format="json")
    return answer.status_code, answer.json().get("code", "")


def test_lists_the_users_with_and_without_a_second_factor(ana: User, bruno: User) -> None:
    second_factors.enrol(ana)
    assert listed("--mfa", "yes") == listed("--mfa-enabled", "true") == ["ana@example.com"]
    assert listed("--mfa", "no") == ["bruno@example.com"]
    assert len(listed()) == 2


def test_rejects_anything_else_than_yes_and_no(ana: User) -> None:
    status, message = failure("list", "--mfa", "true")
    assert (status, "write yes or no" in message) == (1, True)


def test_show_names_the_factors_and_counts_the_recovery_codes(ana: User, bruno: User) -> None:
    phone = second_factors.enrol(ana)
    row = TotpSecret.objects.get(user=ana)
    lines = dict(line.split(maxsplit=1) for line in users("show", ana.email).splitlines() if len(line.split()) > 1)
    assert (lines["factors"], lines["recovery_codes_left"]) == (f"{row.name} (totp)", "10")
    shown = json.loads(users("show", ana.email, "--json"))
    (factor,) = shown["factors"]
    assert (factor["id"], factor["type"], factor["name"], factor["is_synced"]) == (
        *(str(row.pk), "totp", row.name, False),
    )
    assert shown["recovery_codes_left"] == 10
    assert phone.recovery_codes[0] not in str(shown)
    assert set(factor) == {"id", "type", "name", "created_at", "last_used_at", "is_synced"}
    assert not {"factors", "recovery_codes_left"} & set(json.loads(users("show", bruno.email, "--json")))


def test_after_a_reset_the_next_login_must_add_a_factor(ana: User) -> None:
    second_factors.enrol(ana)
    login.open_session(ana, Proof(("pwd", "otp", "mfa")))
    assert Session.objects.active().exists()
    printed = users("reset-mfa", ana.email, "--yes")
    assert printed == (
        "The second factors of ana@example.com are removed. "
        "The next login must add a new one, with the password and an emailed link.\n"
    )
    assert not TotpSecret.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert not Session.objects.active().exists()
    assert log_in(ana) == (403, "enrolment_required")
    event = last_event("factor:reset")
    assert (event.user_id, event.actor_id) == (ana.pk, None)
    assert OutboxMail.objects.filter(kind="set_up_second_factor").exists()


def test_without_enrolment_the_password_alone_suffices(ana: User) -> None:
    second_factors.enrol(ana)
    assert log_in(ana) == (403, "second_factor_required")
    assert "The next login needs the password alone." in users("reset-mfa", str(ana.pk), "--no-enrol", "--yes")
    assert log_in(ana) == (200, "")
    assert last_event("factor:reset").actor_id is None


def test_an_unknown_address_is_an_error(ana: User) -> None:
    assert failure("reset-mfa", "nobody@example.com", "--yes") == (1, "There is no user nobody@example.com.")


@pytest.mark.parametrize("answer", [None, "n"])
def test_nothing_is_removed_without_confirmation(
    ana: User, monkeypatch: pytest.MonkeyPatch, answer: str | None
) -> None:
    second_factors.enrol(ana)
    if answer is None:
        monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115 - ends with the process
        expected = (2, "There is no terminal to prompt at: add --yes.")
    else:
        monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
        expected = (1, "Nothing was removed.")
    assert failure("reset-mfa", ana.email) == expected
    ana.refresh_from_db()
    assert ana.mfa_enabled
    assert TotpSecret.objects.exists()


def test_it_is_the_way_back_of_the_last_administrator_without_a_factor_or_a_code(root: User, client: Client) -> None:
    """Whether or not the role requires a second factor: its grace period begins with the next login."""
    second_factors.enrol(root)
    Role.objects.filter(pk=root.role_id).update(mfa="required")
    users("reset-mfa", root.email, "--no-enrol", "--yes")
    event = last_event("factor:reset")
    assert (event.user_id, event.actor_id) == (root.pk, None)
    assert log_in(root) == (200, "")
    answer = client.post("/admin/login/", {"username": root.email, "password": PASSWORD})
    assert answer["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
