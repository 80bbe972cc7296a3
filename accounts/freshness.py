"""Whether a user has authenticated recently enough for a sensitive action (RFC 9470)."""

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from accounts.errors import FreshLoginRequired
from accounts.mfa import submitted_proofs
from accounts.models import Session


def require(session: Session) -> None:
    """Raises FreshLoginRequired unless the user authenticated in this session within FRESH_LOGIN_LIFETIME."""
    if not is_fresh(session):
        seconds = int(settings.FRESH_LOGIN_LIFETIME.total_seconds())
        level = ', acr_values="aal2"' if session.user.mfa_enabled else ""
        challenge = f'Bearer error="insufficient_user_authentication"{level}, max_age="{seconds}"'
        raise FreshLoginRequired(challenge, submitted_proofs.available_methods(session.user) or ["password"])


def is_fresh(session: Session) -> bool:
    """Returns whether the login is fresh. For a request with an access token, the token's `auth_time` decides.

    So an older token of the session stays stale when the user authenticates again: a thief may have it. A token without
    the claim is stale. If the user has a second factor, a token from before it was proven is stale, too.
    """
    if session.user.mfa_enabled and "aal1" in (session.acr, session.token_acr):
        return False
    return timezone.now() - _authenticated_at(session) < settings.FRESH_LOGIN_LIFETIME


def _authenticated_at(session: Session) -> datetime:
    if session.token_auth_time is None:
        return session.authenticated_at
    return min(session.authenticated_at, datetime.fromtimestamp(session.token_auth_time, tz=UTC))
