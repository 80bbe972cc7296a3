"""A service that checks access tokens itself fetches the public keys."""

import jwt
import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import access_tokens, keys, login
from accounts.models import User
from tests.conftest import refused

PATH = "/.well-known/jwks.json"


def test_anybody_gets_them_and_may_keep_them_for_a_while(client: Client) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert answer.json() == keys.jwks()
    assert not {"d", "p", "q", "k"} & set(answer.json()["keys"][0])


def test_they_check_a_token_without_any_other_knowledge(ana: User, client: Client) -> None:
    token = access_tokens.issue(login.open_session(ana)[0])
    published = jwt.PyJWKSet.from_dict(client.get(PATH).json())
    claims = jwt.decode(
        token,
        published[jwt.get_unverified_header(token)["kid"]],
        algorithms=["ES256"],
        audience="http://localhost:8000",
        issuer="http://localhost:8000",
    )
    assert claims["sub"] == str(ana.pk)


@pytest.mark.parametrize("accept", ["*/*", "application/jwk-set+json", "text/html", "nonsense"])
def test_whatever_media_type_is_asked_for(client: Client, accept: str) -> None:
    assert client.get(PATH, headers={"Accept": accept}).status_code == 200


def test_a_stale_token_does_no_harm(client: Client) -> None:
    assert client.get(PATH, headers={"Authorization": "Bearer stale"}).status_code == 200


def test_who_only_wants_the_headers_gets_them(client: Client) -> None:
    answer = client.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_they_can_only_be_read(verb: str) -> None:
    before = keys.jwks()
    answer = APIClient(enforce_csrf_checks=True).generic(verb, PATH)
    refused(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"
    assert keys.jwks() == before


def test_a_web_application_of_any_origin_reads_them(client: Client) -> None:
    origin = {"Origin": "https://anywhere.example.net"}
    answer = client.get(PATH, headers=origin)
    assert (answer["Access-Control-Allow-Origin"], answer["Cross-Origin-Resource-Policy"]) == ("*", "cross-origin")
    assert "Access-Control-Allow-Credentials" not in answer
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "traceparent"}
    preflight = client.options(PATH, headers=origin | asked)
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (204, "*")
    assert preflight["Access-Control-Allow-Headers"] == "*"
    assert "GET" in preflight["Access-Control-Allow-Methods"]
