"""The errors that use cases raise, each with its stable code and the status of the API's response."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class AccountError(Exception):
    """An error whose text may be shown to the user. Nothing was changed, unless the subclass says so."""

    code = "server_error"
    status = 500
    title: "StrOrPromise" = _("Something went wrong")
    detail: "StrOrPromise" = _("The request could not be completed.")

    def __init__(
        self,
        detail: "StrOrPromise | None" = None,
        *,
        retry_after: timedelta | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        """`members` are further members of the problem document."""
        self.detail = detail or self.detail
        self.retry_after = retry_after
        self.members = members or {}
        super().__init__(str(self.code))

    @property
    def retry_after_seconds(self) -> int | None:
        """Returns whole seconds for the Retry-After header, or None if the time is unknown."""
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after.total_seconds()))


class InvalidInput(AccountError):
    """An invalid value. `field` is None if the error concerns no single field."""

    code, status, title = "validation_error", 400, _("Invalid input")

    def __init__(self, field: str | None, error_code: str, detail: "StrOrPromise") -> None:
        super().__init__(detail)
        self.errors = [(field, error_code, detail)]

    @classmethod
    def of(cls, errors: list[tuple[str | None, str, "StrOrPromise"]]) -> "InvalidInput":
        """Returns one exception with several errors, each a field, a code and a detail."""
        error = cls(*errors[0])
        error.errors = errors
        return error


class AddressTaken(InvalidInput):
    """Another user has the address."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "unique", _("There is an account with this address already."))


class InvalidToken(AccountError):
    """A one-time token or an `mfa_token` is unknown, expired, used, or belongs to another user.

    The error doesn't reveal which.
    """

    code, status, title = "invalid_token", 400, _("Invalid link")
    detail = _("This link is no longer valid. Please request a new one.")


class NotAuthenticated(AccountError):
    """The request isn't authenticated."""

    code, status, title = "not_authenticated", 401, _("Not signed in")
    detail = _("Please sign in first.")


class TokenNotValid(AccountError):
    """An access or refresh token is invalid, or its session has ended."""

    code, status, title = "token_not_valid", 401, _("Invalid token")
    detail = _("The token is invalid or has expired.")


class InvalidCredentials(AccountError):
    """The address is unknown or the password is wrong. The error doesn't reveal which."""

    code, status, title = "invalid_credentials", 401, _("Wrong credentials")
    detail = _("The address or the password is wrong.")


class InvalidSecondFactor(AccountError):
    """A code, recovery code or passkey is wrong, used, or belongs to another user. The error doesn't reveal which."""

    code, status, title = "invalid_second_factor", 401, _("Wrong second factor")
    detail = _("This code or passkey was not accepted.")


class PasskeyCounterFell(InvalidSecondFactor):
    """The counter of a passkey's answer did not grow, as if the passkey had been copied. The client sees no
    difference from InvalidSecondFactor."""

    def __init__(self, passkey: UUID) -> None:
        self.passkey = passkey
        super().__init__()


class FreshLoginRequired(AccountError):
    """The user authenticated too long ago for this action (RFC 9470).

    Members: `methods`, the ways in which the user can authenticate again. `challenge` is the value of the header
    WWW-Authenticate.
    """

    code, status, title = "fresh_login_required", 401, _("Please confirm that it is you")
    detail = _("You signed in a while ago. Please confirm that it is you, and try again.")

    challenge = "Bearer"

    def __init__(self, challenge: str, methods: Sequence[str] = ()) -> None:
        self.challenge = challenge
        super().__init__(members={"methods": list(methods)})


class SecondFactorRequired(AccountError):
    """The password was right, and the second factor is missing.

    Members: `mfa_token`, `expires_in` in seconds, `methods` and, for a user with a passkey, `passkey`.
    """

    code, status, title = "second_factor_required", 403, _("Second factor required")
    detail = _("Please enter the code of your authenticator app, or use your passkey or a recovery code.")


class EnrolmentRequired(AccountError):
    """The user must add a second factor first.

    Members: `needs_mail`, which says whether the user also needs the emailed link, and, at a login, `mfa_token` and
    `expires_in` in seconds.
    """

    code, status, title = "enrolment_required", 403, _("Second factor must be set up")
    detail = _("Your account needs a second factor. Please set one up first.")


class PermissionDenied(AccountError):
    """The actor lacks a permission, or would give or change permissions that they don't hold."""

    code, status, title = "permission_denied", 403, _("Permission denied")
    detail = _("You do not have permission to do this.")


class EmailNotVerified(AccountError):
    code, status, title = "email_not_verified", 403, _("Address not confirmed")
    detail = _("Please confirm your address with the link in the email we sent you.")


class AccountSuspended(AccountError):
    code, status, title = "account_suspended", 403, _("Account suspended")
    detail = _("This account is suspended.")


class RegistrationClosed(AccountError):
    code, status, title = "registration_closed", 403, _("Registration closed")
    detail = _("Only an administrator can create an account.")


class NotFound(AccountError):
    code, status, title = "not_found", 404, _("Not found")
    detail = _("Not found.")


class LastAdmin(AccountError):
    """The change would leave the system without an administrator."""

    code, status, title = "last_admin", 409, _("Last administrator")
    detail = _("This is the last active administrator.")


class Conflict(AccountError):
    code, status, title = "conflict", 409, _("Conflict")
    detail = _("The current state does not allow this.")


class Throttled(AccountError):
    """A rate limit is reached. `retry_after` says when it allows the next attempt."""

    code, status, title = "throttled", 429, _("Too many requests")
    detail = _("Too many attempts. Please try again later.")


class Overloaded(AccountError):
    """Too many password hashes are waiting, or the database can't answer for the moment."""

    code, status, title = "overloaded", 503, _("Overloaded")
    detail = _("Too many users are signing in right now. Please try again in a moment.")


def all_errors() -> list[type[AccountError]]:
    """Returns AccountError and all of its subclasses."""
    found, unseen = [], [AccountError]
    while unseen:
        found.append(unseen.pop())
        unseen += found[-1].__subclasses__()
    return found
