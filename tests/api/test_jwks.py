"""Other services fetch the public keys to check access tokens."""

import jwt
import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts import login
from accounts.jwt import access_tokens, signing_keys
from accounts.mfa import proofs
from accounts.models import User
from tests.conftest import refused

PATH = "/.well-known/jwks.json"


def test_every_client_gets_the_keys_and_may_cache_them(client: Client) -> None:
    answer = client.get(PATH)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert answer.json() == signing_keys.jwks()
    assert not {"d", "p", "q", "k"} & set(answer.json()["keys"][0])


def test_the_keys_are_enough_to_check_a_token(ana: User, client: Client) -> None:
    token = access_tokens.issue(login.open_session(ana, proofs.PASSWORD)[0])
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
def test_every_media_type_is_accepted(client: Client, accept: str) -> None:
    assert client.get(PATH, headers={"Accept": accept}).status_code == 200


def test_an_expired_access_token_is_ignored(client: Client) -> None:
    assert client.get(PATH, headers={"Authorization": "Bearer stale"}).status_code == 200


def test_head_returns_the_headers(client: Client) -> None:
    answer = client.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_the_keys_are_read_only(verb: str) -> None:
    before = signing_keys.jwks()
    answer = APIClient(enforce_csrf_checks=True).generic(verb, PATH)
    refused(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"
    assert signing_keys.jwks() == before


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
