"""Logging in, staying in with the refresh token, and logging out."""

from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from accounts import access_tokens, credentials, sessions
from accounts.errors import InvalidCredentials
from accounts.models import Session, User
from accounts.signals import session_opened


class SignIn(NamedTuple):
    """An open session with the two tokens to use it."""

    session: Session
    access: str
    refresh: str


def log_in(email: str, password: str) -> SignIn:
    """Opens a session. Raises what credentials.check() raises."""
    session, refresh = open_session(credentials.check(email, password))
    return SignIn(session, access_tokens.issue(session), refresh)


@transaction.atomic
def open_session(user: User, *, lifetime: timedelta | None = None) -> tuple[Session, str]:
    """A session for somebody whose credentials were checked, and its refresh token.

    Raises InvalidCredentials when the password was replaced or the user suspended while it was being hashed.
    """
    user.last_login_at = timezone.now()
    if not credentials.unchanged(user).update(last_login_at=user.last_login_at):
        raise InvalidCredentials
    session, refresh = sessions.open_session(user, lifetime=lifetime)
    session_opened.send(sender=User, user=user, session=session)
    return session, refresh


def refresh(token: str) -> SignIn:
    """Exchanges a refresh token for its successor. Raises TokenNotValid."""
    session, successor = sessions.rotate(token)
    return SignIn(session, access_tokens.issue(session), successor)


def log_out(token: str) -> None:
    """Ends the session of a refresh token. Raises TokenNotValid."""
    sessions.close_with(token)
