"""The base classes of all views: the order of their checks, how they read input, and responses that several share."""

from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import freshness
from accounts.api import errors
from accounts.api.parsers import read_body
from accounts.errors import Overloaded, TokenNotValid
from accounts.hashing import hashers
from accounts.jwt.access_tokens import SessionJWTAuthentication
from accounts.mfa import policy
from accounts.models import Session, User


class StatelessView(APIView):
    """Creates renderers, parsers, authenticators and permissions once, and not for each request: none has a state."""

    @cached_property
    def allowed_methods(self) -> list[str]:
        return super().allowed_methods  # looks for a handler of each method, and is asked for twice

    def get_renderers(self) -> list[Any]:
        return _instances(tuple(self.renderer_classes))

    def get_parsers(self) -> list[Any]:
        return _instances(tuple(self.parser_classes))

    def get_authenticators(self) -> list[Any]:
        return _instances(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        return _instances(tuple(self.permission_classes))

    def get_content_negotiator(self) -> Any:
        return _instances((self.content_negotiation_class,))[0]

    def perform_authentication(self, request: Request) -> None:
        if self.authentication_classes:  # a public view does not read the user
            super().perform_authentication(request)


@cache
def _instances(classes: tuple[type[Any], ...]) -> list[Any]:
    return [one() for one in classes]


class ApiView(StatelessView):
    """Answers 405 before authenticating, and authenticates only once the body has been read."""

    is_open_to_overdue = False  # whether a user may call it who must add a second factor before anything else
    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        read_body(request)
        super().initial(request, *args, **kwargs)
        self.check_second_factor(request)
        if request.method not in SAFE_METHODS and not self._ignores_body(request):
            request.data  # noqa: B018 - rejects a malformed body even if the view does not read it

    def _ignores_body(self, request: Request) -> bool:
        handler = getattr(self, str(request.method).lower())
        return bool(getattr(handler, "ignores_body", False))

    def check_second_factor(self, request: Request) -> None:
        """Raises EnrolmentRequired if the caller must add a second factor first, and FreshLoginRequired if the view
        needs a fresh login."""
        session = request.auth
        if isinstance(session, Session):
            if not self.is_open_to_overdue:
                policy.require_not_overdue(session.user)
            if self.needs_fresh_login(session):
                freshness.require(session)

    def needs_fresh_login(self, session: Session) -> bool:
        """Returns whether the user must have authenticated within FRESH_LOGIN_LIFETIME. By default, they needn't."""
        return False


class PublicView(ApiView):
    """A view that needs no access token, or reads it itself. It ignores an expired Authorization header."""

    authentication_classes = ()
    permission_classes = ()


class HashingView(PublicView):
    """A public view that hashes a password.

    Rejects a request that would wait too long for a hash slot before reading its body. Without this, a flood would
    slow down other clients.
    """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST":
            try:
                hashers.require_free_slot()
            except Overloaded as error:
                return errors.error_response(error)
        return super().dispatch(request, *args, **kwargs)


def optional_session(request: Request) -> Session | None:
    """Returns the session of the access token that a PublicView was sent; None without a valid token."""
    try:
        authenticated = SessionJWTAuthentication().authenticate(request)
    except TokenNotValid:
        return None
    return authenticated[1] if authenticated else None


class AuthenticatedRequest(Request):
    """The type of an authenticated request, with the user and their session."""

    user: User
    auth: Session


def read_input(serializer: type[Serializer[Any]], request: Request, **options: Any) -> dict[str, Any]:
    """Validates the body of a request with the serializer and returns its data. Raises ValidationError."""
    validator = serializer(data=request.data, **options)
    validator.is_valid(raise_exception=True)
    data: dict[str, Any] = validator.validated_data
    return data


def created(body: Any, path: str) -> Response:
    """Returns a 201 with the URL of the new row: on PUBLIC_URL, because the client chooses the Host header."""
    return Response(body, 201, headers={"Location": f"{settings.PUBLIC_URL}/api/v1/{path}"})


def email_sent() -> Response:
    """Returns the response to an administrator who had an email sent to a user."""
    return Response({"detail": _("The email is on its way.")}, 202)


def email_sent_if_known() -> Response:
    """Returns the same response for known and unknown addresses, so that it does not reveal who has an account."""
    return Response({"detail": _("If there is an account with this address, an email is on its way.")}, 202)
