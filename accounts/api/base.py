"""What all views have in common: in which order a request is judged, and how its input is read."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import hashers
from accounts.access_tokens import SessionJWTAuthentication
from accounts.api import errors
from accounts.api.parsers import take_in
from accounts.errors import Overloaded, TokenNotValid
from accounts.models import Session, User


class ApiView(APIView):
    """Refuses a method that does not exist before it asks who is there, and asks that when the body has arrived."""

    http_method_names = ("get", "head", "post", "put", "patch", "delete")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        take_in(request)
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS:
            request.data  # noqa: B018 - nothing is done for a body that nobody understands, needed or not


class OpenView(ApiView):
    """For those who are not signed in; a stale Authorization header does no harm."""

    authentication_classes = ()
    permission_classes = ()


class HashingView(OpenView):
    """One that hashes a password: refuses a flood before anything is read, so that it takes little from the others."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST":
            try:
                hashers.require_room()
            except Overloaded as error:
                return errors.refusal(error)
        return super().dispatch(request, *args, **kwargs)


def session_of(request: Request) -> Session | None:
    """The session of a request to an OpenView, if its Authorization header names one that is alive."""
    try:
        signed_in = SessionJWTAuthentication().authenticate(request)
    except TokenNotValid:
        return None
    return signed_in[1] if signed_in else None


class SignedIn(Request):
    """A request as authentication leaves it: who asks, and with which session."""

    user: User
    auth: Session


def read(serializer: type[Serializer[Any]], request: Request, **options: Any) -> dict[str, Any]:
    """The checked input of a request. Raises ValidationError."""
    checked = serializer(data=request.data, **options)
    checked.is_valid(raise_exception=True)
    data: dict[str, Any] = checked.validated_data
    return data
