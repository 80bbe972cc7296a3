"""An access token stops working as soon as its session, its user, its key or a permission ends."""

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from pytest_django import Settings

from accounts import sessions
from accounts.errors import TokenNotValid
from accounts.jwt import access_tokens, signing_keys
from accounts.models import Session, User
from tests.accounts.test_access_tokens import assert_rejected


def _end_session(session: Session) -> None:
    sessions.close(session, actor=None)


def _suspend(session: Session) -> None:
    User.objects.update(is_active=False)


def _delete(session: Session) -> None:
    session.user.delete()


def _expire(session: Session) -> None:
    Session.objects.update(expires_at=session.created_at)


def _leave_idle(session: Session) -> None:
    Session.objects.update(idle_expires_at=session.created_at)


def _revoke_key(session: Session) -> None:
    signing_keys.revoke(signing_keys.signing_key())


@pytest.mark.parametrize("end", [_end_session, _suspend, _delete, _expire, _leave_idle, _revoke_key])
def test_stops_working_at_once(session: Session, end: Callable[[Session], None]) -> None:
    token = access_tokens.issue(session)
    assert access_tokens.find_session(token) == session
    end(session)
    assert_rejected(token)


def test_a_signed_in_request_asks_the_database_once(
    session: Session, django_assert_num_queries: Callable[[int], Any]
) -> None:
    token = access_tokens.issue(session)
    with django_assert_num_queries(1):
        assert access_tokens.find_session(token).user.permissions == []


def test_stops_working_when_it_expires_although_it_was_accepted_before(
    session: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = access_tokens.issue(session)
    assert access_tokens.find_session(token) == session
    expired = time.time() + settings.ACCESS_TOKEN_LIFETIME.total_seconds() + 1
    monkeypatch.setattr(time, "time", lambda: expired)
    assert_rejected(token)


def test_its_signature_is_checked_once(session: Session) -> None:
    token, check = access_tokens.issue(session), signing_keys.SigningKey.has_signed
    with patch.object(signing_keys.SigningKey, "has_signed", autospec=True, side_effect=check) as checking:
        for _request in range(3):
            assert access_tokens.find_session(token) == session
    assert checking.call_count == 1


def test_a_forged_one_is_not_remembered(session: Session) -> None:
    """Otherwise a client could replace all remembered tokens with forged ones."""
    token = access_tokens.issue(session)
    assert access_tokens.find_session(token) == session
    remembered = access_tokens._signed_claims.cache_info().currsize
    for _request in range(2):
        with pytest.raises(TokenNotValid):
            access_tokens.find_session(token[:-8] + "AAAAAAAA")
    assert access_tokens._signed_claims.cache_info().currsize == remembered
