"""Of requests that exchange the same refresh token at once, one makes the exchange. An ended session stays ended."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import sessions
from accounts.errors import TokenNotValid
from accounts.mfa import proofs
from accounts.models import Role, Session, User
from tests.accounts.test_sessions import kinds

SECOND = timedelta(seconds=1)


def test_the_race_for_a_refresh_token_has_one_winner(ana: User) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    one, other = (sessions.read_refresh_token(first)[0] for _ in range(2))
    assert [sessions._advance(one), sessions._advance(other)] == [True, False]
    assert Session.objects.get(pk=session.pk).generation == 1


def test_a_refresh_that_loses_against_a_logout_is_rejected(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    _session, first = sessions.create(ana, proofs.PASSWORD)

    def log_out_first(session: Session) -> bool:
        sessions.close(session, actor=ana)
        return False

    monkeypatch.setattr(sessions, "_advance", log_out_first)
    with pytest.raises(TokenNotValid):
        sessions.rotate(first)
    assert "session:reuse_detected" not in kinds()


def test_a_refresh_that_loses_against_another_gets_the_same_successor(
    ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _session, first = sessions.create(ana, proofs.PASSWORD)
    advance, answers = sessions._advance, []

    def refresh_first(session: Session) -> bool:
        monkeypatch.setattr(sessions, "_advance", advance)
        answers.append(sessions.rotate(first)[1])
        return advance(session)

    monkeypatch.setattr(sessions, "_advance", refresh_first)
    answers.append(sessions.rotate(first)[1])
    assert answers[0] == answers[1]
    assert Session.objects.get().generation == 1


@pytest.mark.parametrize("column", ["revoked_at", "expires_at", "idle_expires_at", "generation"])
def test_an_exchange_is_not_stored_if_the_session_changed_since_it_was_read(database: str, column: str) -> None:
    """The statement compares times itself, which SQLite stores as texts, without a fraction for a whole second."""
    user = User.objects.create(email="ana@example.com", role=Role.objects.get(name="user"))
    this_second = timezone.now().replace(microsecond=0)
    session, _refresh = sessions.create(user, proofs.PASSWORD)
    Session.objects.update(**{column: 7 if column == "generation" else this_second})
    before = list(Session.objects.values())
    assert not sessions._advance(session)
    assert list(Session.objects.values()) == before
    Session.objects.all().delete()
    session, _refresh = sessions.create(user, proofs.PASSWORD)
    Session.objects.update(expires_at=this_second + 60 * SECOND, idle_expires_at=this_second + 60 * SECOND)
    assert sessions._advance(session)
    assert not sessions._advance(session)
    assert Session.objects.get().generation == 1
