"""Django's own way to sign in, as its admin uses it."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from accounts import credentials
from accounts.errors import AccountError
from accounts.models import User


class LoginBackend(BaseBackend):
    """The same check as the API's login, with the same limits."""

    def authenticate(
        self, request: HttpRequest | None, username: str = "", password: str = "", **_others: Any
    ) -> User | None:
        """The user, or None; who wants to know why asks credentials.check() themselves."""
        try:
            return credentials.check(username, password)
        except AccountError:
            return None

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.select_related("role").filter(pk=user_id, is_active=True).first()
