"""An operator sees where somebody is signed in, and signs them out, with `manage.py sessions`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts import login
from accounts.models import AuditEvent, Session, User

pytestmark = pytest.mark.django_db


def sessions(*words: str) -> str:
    out = StringIO()
    call_command("sessions", *words, stdout=out)
    return out.getvalue()


def sign_in(user: User) -> Session:
    return login.open_session(user)[0]


def living(user: User) -> list[Session]:
    return list(Session.objects.alive().filter(user=user))


def test_lists_the_living_sessions_newest_first(ana: User, bruno: User) -> None:
    first, second = sign_in(ana), sign_in(ana)
    sign_in(bruno)
    assert [one["id"] for one in json.loads(sessions("list", "ana@example.com", "--json"))] == [
        str(second.pk),
        str(first.pk),
    ]


def test_ends_all_sessions_of_one_user(ana: User, bruno: User) -> None:
    sign_in(ana), sign_in(ana), sign_in(bruno)
    assert sessions("revoke", str(ana.pk)) == "Ended 2 sessions of ana@example.com.\n"
    assert not living(ana)
    assert living(bruno)
    event = AuditEvent.objects.get(kind="session:all_revoked")
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, None, {"sessions": 2})


def test_ends_one_session_and_says_that_it_was_not_its_user(ana: User) -> None:
    first, second = sign_in(ana), sign_in(ana)
    assert sessions("revoke", "ana@example.com", "--session", str(first.pk)) == "Ended 1 session of ana@example.com.\n"
    assert living(ana) == [second]
    event = AuditEvent.objects.get(kind="session:revoked")
    assert (event.actor_id, event.data) == (None, {"session": str(first.pk)})


def test_refuses_the_session_of_somebody_else(ana: User, bruno: User) -> None:
    session = sign_in(bruno)
    with pytest.raises(CommandError, match=f"ana@example.com has no session {session.pk}") as refused:
        sessions("revoke", "ana@example.com", "--session", str(session.pk))
    assert refused.value.returncode == 1
    assert living(bruno)


def test_has_nothing_to_end_for_who_is_signed_out(ana: User) -> None:
    assert sessions("revoke", "ana@example.com") == "Ended 0 sessions of ana@example.com.\n"
    assert not AuditEvent.objects.filter(kind="session:all_revoked").exists()
