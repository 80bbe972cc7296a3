"""Connects Django's authentication, which the admin panel uses, with ours."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from accounts import credentials
from accounts.errors import AccountError
from accounts.mfa import policy
from accounts.models import User


class LoginBackend(BaseBackend):
    """Checks a password like the API's login, with the same rate limits."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", **_others: Any
    ) -> User | None:
        """Returns the user, or None; also None for a user who has or must add a second factor, because a password alone
        doesn't sign them in. A caller who needs the reason calls credentials.check_password()."""
        try:
            user = credentials.check_password(username, password)
        except AccountError:
            return None
        return None if user.mfa_enabled or policy.is_overdue(user) else user

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.select_related("role").filter(pk=user_id, is_active=True).first()
