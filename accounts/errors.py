"""What can go wrong in a use case, each fault with the stable code and the status an API answers."""

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


class AccountError(Exception):
    """A refusal that its caller may show to a person; nothing was changed unless the subclass says so."""

    code = "server_error"
    status = 500
    title: "_StrOrPromise" = _("Something went wrong")
    detail: "_StrOrPromise" = _("The request was not carried out.")

    def __init__(self, detail: "_StrOrPromise | None" = None, *, retry_after: timedelta | None = None) -> None:
        self.detail = detail or self.detail
        self.retry_after = retry_after
        super().__init__(str(self.code))

    @property
    def retry_after_seconds(self) -> int | None:
        """In whole seconds, as the header of that name wants it; None where nothing is known."""
        return None if self.retry_after is None else max(1, math.ceil(self.retry_after.total_seconds()))


class InvalidInput(AccountError):
    """A value that cannot be taken. `field` is None for a fault of no single field."""

    code, status, title = "validation_error", 400, _("Invalid input")

    def __init__(self, field: str | None, fault: str, detail: "_StrOrPromise") -> None:
        super().__init__(detail)
        self.faults = [(field, fault, detail)]

    @classmethod
    def of(cls, faults: list[tuple[str | None, str, "_StrOrPromise"]]) -> "InvalidInput":
        """One refusal with several faults, each a field, a code and a detail."""
        error = cls(*faults[0])
        error.faults = faults
        return error


class AddressTaken(InvalidInput):
    """There is a user with the address already."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "unique", _("There is an account with this address already."))


class InvalidToken(AccountError):
    """A one-time token that is unknown, expired, used or somebody else's; nobody learns which."""

    code, status, title = "invalid_token", 400, _("Invalid link")
    detail = _("This link is no longer valid. Please request a new one.")


class NotAuthenticated(AccountError):
    """Nobody is signed in where somebody must be."""

    code, status, title = "not_authenticated", 401, _("Not signed in")
    detail = _("Please sign in first.")


class TokenNotValid(AccountError):
    """An access or refresh token that proves nothing."""

    code, status, title = "token_not_valid", 401, _("Invalid token")
    detail = _("The token is invalid or has expired.")


class InvalidCredentials(AccountError):
    """An unknown address or a wrong password; nobody learns which."""

    code, status, title = "invalid_credentials", 401, _("Wrong credentials")
    detail = _("The address or the password is wrong.")


class PermissionDenied(AccountError):
    """The actor lacks a permission, or would climb above what they hold."""

    code, status, title = "permission_denied", 403, _("Permission denied")
    detail = _("You do not have permission to do this.")


class EmailNotVerified(AccountError):
    code, status, title = "email_not_verified", 403, _("Address not confirmed")
    detail = _("Please confirm your address with the link that was mailed to you.")


class AccountSuspended(AccountError):
    code, status, title = "account_suspended", 403, _("Account suspended")
    detail = _("This account is suspended.")


class RegistrationClosed(AccountError):
    code, status, title = "registration_closed", 403, _("Registration closed")
    detail = _("New accounts are created by an administrator only.")


class NotFound(AccountError):
    code, status, title = "not_found", 404, _("Not found")
    detail = _("There is nothing here.")


class LastAdmin(AccountError):
    """Without this admin nobody could administer the system any more."""

    code, status, title = "last_admin", 409, _("Last administrator")
    detail = _("This is the last active administrator.")


class Conflict(AccountError):
    code, status, title = "conflict", 409, _("Conflict")
    detail = _("The current state does not allow this.")


class Throttled(AccountError):
    """A limit is reached; `retry_after` says when another try is worth it."""

    code, status, title = "throttled", 429, _("Too many requests")
    detail = _("Too many tries. Please wait a while.")


class Overloaded(AccountError):
    """More passwords wait to be checked than can be within a reasonable time."""

    code, status, title = "overloaded", 503, _("Overloaded")
    detail = _("Too many people are signing in right now. Please try again in a moment.")


def all_errors() -> list[type[AccountError]]:
    """Every kind of refusal there is."""
    found, unseen = [], [AccountError]
    while unseen:
        found.append(unseen.pop())
        unseen += found[-1].__subclasses__()
    return found
