"""Every path of the API treats slashes, methods, media types, headers and ids alike."""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import resolve
from rest_framework.test import APIClient

from accounts import login
from accounts.mfa import proofs
from accounts.models import Role, Session, User
from tests.api.routes import ANA_ID, SESSION_ID, UNSAFE, VERBS, Operation, Route, operations, routes
from tests.conftest import refused

TRANSLATED = {"en": "Not signed in", "es": "Sin sesión iniciada"}


@pytest.fixture
def client(person: Callable[..., User], role: Callable[..., Role], stranger: APIClient) -> APIClient:
    """Returns a client without a token; ana has a session, and there is a role support."""
    role("support", "users.view")
    session, _refresh = login.open_session(person("ana", id=ANA_ID), proofs.PASSWORD)
    Session.objects.filter(pk=session.pk).update(id=SESSION_ID)
    return stranger


OPEN_TO_ALL = "auth/passkey/options/"  # needs neither a body nor an access token, and answers with a random challenge


def ask(client: APIClient, verb: str, path: str, **headers: str) -> Any:
    return client.generic(verb, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_every_path_of_the_contract_is_served() -> None:
    auth = "register login token/refresh token/verify logout logout/all password/reset password/reset/confirm"
    auth += " password/change email/verify email/verify/resend email/change email/change/confirm invitation/accept"
    for path in auth.split():
        assert Route(f"/api/v1/auth/{path}/", frozenset({"POST"})) in routes()
    verbs = {str(route): route.verbs - {"HEAD"} for route in routes()}
    assert verbs["users/me/"] == {"GET", "PATCH", "DELETE"}
    assert verbs["users/me/export/"] == {"GET"}
    assert verbs["users/"] == verbs["roles/"] == {"GET", "POST"}
    assert verbs["users/ana/"] == verbs["roles/support/"] == {"GET", "PUT", "PATCH", "DELETE"}
    for action in ("suspend", "activate", "unlock", "invite", "password-reset"):
        assert "POST" in verbs[f"users/ana/{action}/"]
    assert verbs["users/ana/sessions/"] == {"GET", "DELETE"}
    assert verbs["users/ana/sessions/session/"] == {"DELETE"}
    assert verbs["users/ana/factors/"] == {"GET", "DELETE"}
    assert verbs["users/me/factors/factor/"] == {"GET", "PATCH", "DELETE"}
    assert verbs["auth/recovery-codes/"] == {"POST"}
    assert verbs["users/ana/audit/"] == verbs["audit/"] == {"GET"}


@pytest.mark.parametrize("route", routes("/api/v1/"), ids=str)
def test_a_path_without_its_slash_gets_the_same_response_for_every_method(route: Route, client: APIClient) -> None:
    for verb in VERBS:
        answers = [ask(client, verb, path, X_Request_ID="same") for path in (route.path, route.path.rstrip("/"))]
        assert answers[0].status_code == answers[1].status_code
        if str(route) != OPEN_TO_ALL:
            assert answers[0].content == answers[1].content
        assert answers[0].headers == answers[1].headers


@pytest.mark.parametrize("route", routes("/api/v1/"), ids=str)
def test_an_unsupported_method_gets_405_before_any_other_check(route: Route, client: APIClient) -> None:
    for verb in {*VERBS, "TRACE", "PROPFIND", "QUERY"} - route.verbs:
        answer = ask(client, verb, route.path, Authorization="Bearer stale")
        if verb != "HEAD":
            refused(answer, 405, "method_not_allowed")
        assert answer.status_code == 405
        assert set(answer["Allow"].split(", ")) == route.verbs


@pytest.mark.parametrize("route", routes("/api/v1/"), ids=str)
def test_every_response_has_an_id_and_is_not_cached(route: Route, client: APIClient) -> None:
    for verb in route.verbs:
        answer = ask(client, verb, route.path, X_Request_ID=f"trace-{verb}")
        assert answer["X-Request-ID"] == f"trace-{verb}"
        assert answer["Cache-Control"] == "no-store"
        if verb != "HEAD" and str(route) != OPEN_TO_ALL:
            assert answer.json()["instance"] == f"trace-{verb}"


@pytest.mark.parametrize("route", routes("/api/v1/"), ids=str)
def test_only_public_paths_work_without_authentication(route: Route, client: APIClient) -> None:
    """Every other path authenticates before any other check."""
    before = (User.objects.count(), Session.objects.active().count())
    view: Any = resolve(route.path).func
    is_open = view.cls.__name__ in {
        *("RegisterView", "LoginView", "RefreshView", "VerifyView", "ResetView", "ConfirmResetView"),
        *(
            "VerifyEmailView",
            "ResendVerificationView",
            "ConfirmAddressView",
            "AcceptInvitationView",
            "SecondFactorView",
            "PasskeyLoginView",
        ),
    }
    for verb in route.verbs - {"HEAD"} if str(route) != OPEN_TO_ALL else ():
        answer = ask(client, verb, route.path)
        if is_open:
            refused(answer, 400, "validation_error")
            continue
        refused(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == "Bearer"
        if str(route) != "auth/logout/":
            refused(ask(client, verb, route.path, Authorization="Bearer stale"), 401, "token_not_valid")
    assert (User.objects.count(), Session.objects.active().count()) == before


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*", "application/json;q=0.5;version=9"])
def test_other_media_types_get_406(client: APIClient, accept: str) -> None:
    answer = ask(client, "GET", "/api/v1/users/me/", Accept=accept)
    if accept.startswith("application/json"):
        refused(answer, 401, "not_authenticated")
    else:
        refused(answer, 406, "not_acceptable")
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("operation", operations("GET", *UNSAFE), ids=str)
def test_a_client_that_accepts_what_the_document_names_is_served(operation: Operation, client: APIClient) -> None:
    """Generated clients accept the documented media types: for a 204, only problem documents."""
    answer = ask(client, operation.verb, operation.path, Accept="application/problem+json; charset=utf-8")
    assert answer.status_code == 200 if str(operation) == f"POST {OPEN_TO_ALL}" else answer.status_code in (400, 401)
    anything = ask(client, operation.verb, operation.path, Accept="text/html")
    assert (anything.status_code == 406) == ("not_acceptable" in operation.errors)


def test_fifteen_operations_return_no_body() -> None:
    assert len([one for one in operations("GET", *UNSAFE) if "not_acceptable" not in one.errors]) == 15


def test_the_query_parameter_format_is_ignored(client: APIClient) -> None:
    refused(ask(client, "GET", "/api/v1/users/me/?format=xml"), 401, "not_authenticated")


@pytest.mark.parametrize("accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1"])
def test_json_is_chosen_from_a_list_of_media_types(client: APIClient, accept: str) -> None:
    refused(ask(client, "GET", "/api/v1/users/me/", Accept=accept), 401, "not_authenticated")


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("en", "en"), ("es", "es"), ("es-MX,es;q=0.9", "es"), ("fr, es;q=0.5, en;q=0.4", "es"), ("fr", "en"), ("", "en")],
)
def test_an_error_is_in_the_language_of_the_request(client: APIClient, wanted: str, language: str) -> None:
    answer = ask(client, "GET", "/api/v1/users/me/", Accept_Language=wanted)
    assert refused(answer, 401, "not_authenticated")["title"] == TRANSLATED[language]
    assert answer["Content-Language"] == language


@pytest.mark.parametrize("path", ["/health/live/", "/health/ready/", "/metrics", "/api/schema/", "/api/docs/"])
def test_read_only_resources_reject_writes(path: str, client: APIClient) -> None:
    for verb in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        refused(ask(client, verb, path), 405, "method_not_allowed")
