"""An operator lists and ends the sessions of a user with `manage.py sessions`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import login
from accounts.mfa import proofs
from accounts.models import AuditEvent, Session, User

pytestmark = pytest.mark.django_db


def sessions(*words: str) -> str:
    out = StringIO()
    call_command("sessions", *words, stdout=out)
    return out.getvalue()


def sign_in(user: User) -> Session:
    return login.open_session(user, proofs.PASSWORD)[0]


def active(user: User) -> list[Session]:
    return list(Session.objects.active().filter(user=user))


def test_lists_the_active_sessions_newest_first(ana: User, bruno: User) -> None:
    first, second = sign_in(ana), sign_in(ana)
    sign_in(bruno)
    assert [one["id"] for one in json.loads(sessions("list", "ana@example.com", "--json"))] == [
        str(second.pk),
        str(first.pk),
    ]


def test_ends_all_sessions_of_one_user(ana: User, bruno: User) -> None:
    sign_in(ana), sign_in(ana), sign_in(bruno)
    assert sessions("revoke", str(ana.pk)) == "Ended 2 sessions of ana@example.com.\n"
    assert not active(ana)
    assert active(bruno)
    event = AuditEvent.objects.get(kind="session:all_revoked")
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, None, {"sessions": 2})


def test_ends_one_session_and_records_no_actor(ana: User) -> None:
    first, second = sign_in(ana), sign_in(ana)
    assert sessions("revoke", "ana@example.com", "--session", str(first.pk)) == "Ended 1 session of ana@example.com.\n"
    assert active(ana) == [second]
    event = AuditEvent.objects.get(kind="session:revoked")
    assert (event.actor_id, event.data) == (None, {"session": str(first.pk)})


def test_rejects_the_session_of_another_user(ana: User, bruno: User) -> None:
    session = sign_in(bruno)
    with pytest.raises(CommandError, match=f"ana@example.com has no session {session.pk}") as refused:
        sessions("revoke", "ana@example.com", "--session", str(session.pk))
    assert refused.value.returncode == 1
    assert active(bruno)


def test_ends_no_session_of_a_user_who_has_none(ana: User) -> None:
    assert sessions("revoke", "ana@example.com") == "Ended 0 sessions of ana@example.com.\n"
    assert not AuditEvent.objects.filter(kind="session:all_revoked").exists()
