"""An access token stops working as soon as what it proves does."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts import access_tokens, sessions
from accounts.models import Session, User
from tests.accounts.test_access_tokens import refuse


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


@pytest.mark.parametrize("end", [_end_session, _suspend, _delete, _expire, _leave_idle])
def test_stops_working_at_once(session: Session, end: Callable[[Session], None]) -> None:
    token = access_tokens.issue(session)
    assert access_tokens.check(token) == session
    end(session)
    refuse(token)


def test_a_signed_in_request_asks_the_database_once(
    session: Session, django_assert_num_queries: Callable[[int], Any]
) -> None:
    token = access_tokens.issue(session)
    with django_assert_num_queries(1):
        assert access_tokens.check(token).user.permissions == []
