"""Every operation rejects invalid bodies, which change nothing. Those that only read, and one more, ignore a body."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from accounts import login
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import OneTimeToken, Role, Session, User
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose, issue
from notifications.models import OutboxMail
from tests.api.requests import all_rows
from tests.api.routes import ANA_ID, SESSION_ID, UNSAFE, Operation, operations
from tests.conftest import PASSWORD, refused

JSON = "application/json"
MALFORMED: dict[str, bytes] = {
    "no JSON": b"hello",
    "half an object": b'{"email": "a',
    "two objects": b"{}{}",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a comment": b"{} // x",
    "a bare key": b"{a: 1}",
    "not a number": b'{"a": NaN}',
    "an infinite number": b'{"a": -Infinity}',
    "a number out of range": b'{"a": 1e999}',
    "a number of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "a key given twice": b'{"email": "a@example.com", "email": "b@example.com"}',
    "a key given twice within": b'{"metadata": {"a": 1, "a": 2}}',
    "a key given twice in two spellings": b'{"email": "a@example.com", "\\u0065mail": "b@example.com"}',
    "arrays 33 deep": b"[" * 33 + b"]" * 33,
    "objects 33 deep": b'{"a":' * 33 + b"1" + b"}" * 33,
    "arrays 900 deep": b"[" * 900 + b"]" * 900,
    "objects 900 deep": b'{"a":' * 900 + b"1" + b"}" * 900,
    "arrays 30000 deep": b"[" * 30000 + b"]" * 30000,
    "an open array 60000 deep": b"[" * 60000,
    "objects 900 deep in a field": b'{"metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "invalid UTF-8": b'{"email": "\xff\xfe"}',
    "an overlong NUL": b'{"email": "\xc0\x80"}',
    "a raw surrogate": b'{"email": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"email": "\\ud800"}',
    "the other half": b'{"email": ["a\\udfffb"]}',
    "half a surrogate pair in a key": b'{"a": {"\\ud800": 1}}',
    "a raw NUL": b'{"email": "a\x00b"}',
    "a raw newline": b'{"email": "a\nb"}',
    "nothing but NULs": b"\0" * 100,
    "gzip": gzip.compress(b"{}"),
    "only spaces": b"   ",
}
OF_ANOTHER_TYPE: dict[str, bytes] = {
    "application/x-www-form-urlencoded": b"email=ana%40example.com&full_name=x",
    "multipart/form-data; boundary=x": b'--x\r\nContent-Disposition: form-data; name="full_name"\r\n\r\ny\r\n--x--\r\n',
    "multipart/form-data": b"x",
    "text/plain": b"{}",
    "text/html": b"<p>",
    "application/xml": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "application/octet-stream": b"{}",
    "application/jsonp": b"{}",
    "application/json5": b"{}",
    "json": b"{}",
    "x" * 500: b"{}",
    "application/\x00json": b"{}",
}
NO_OBJECT = [b"[]", b'[{"email": "ana@example.com"}]', b'"text"', b"1", b"true", b"null", b"1.5", b'""']
NO_TEXT: list[Any] = ["\0", "a\0b"]
WRONG: dict[str, list[Any]] = {
    "string": [[], ["a"], {}, {"a": "b"}, True, False, 7, 1.5, *NO_TEXT],
    "boolean": [[], {}, "perhaps", 7, *NO_TEXT],
    "object": [[], "text", 7, True, {"a": "\0"}, {"\0": 1}, {"a": "x" * 17_000}],
    "credential": [[], "text", 7, True, None],
    "code": [[], ["a"], {}, {"a": "b"}, True, False, 7, 1.5],
    "array": [{}, "text", 7, True, [[]], [{}], [7], [None], *([text] for text in NO_TEXT)],
    "choice": [[], {}, 7, True, "xx", *NO_TEXT],
}

ALL = operations("GET", *UNSAFE)
READ_A_BODY = [one for one in ALL if "parse_error" in one.errors]
IGNORE_A_BODY = [one for one in ALL if one not in READ_A_BODY]
TOO_LARGE = {
    "application/json": [b'{"full_name": "' + b"x" * 3 * 1024 * 1024 + b'"}', b"[" * (64 * 1024 + 1)],
    "application/x-www-form-urlencoded": [b"a=" + b"b" * 100_000],
}
# What a proof of a second factor contains is not validated: a malformed one is a wrong one.
PROOFS = {"passkey": "credential", "code": "code", "recovery_code": "code"}


@pytest.fixture
def client(root: User, person: Callable[..., User], role: Callable[..., Role]) -> APIClient:
    """Returns a client, with rows that every operation could change."""
    role("support", "users.view")
    ana = person("ana", id=ANA_ID)
    Session.objects.filter(pk=login.open_session(ana, proofs.PASSWORD)[0].pk).update(id=SESSION_ID)
    issue(ana, Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    OutboxMail.objects.all().delete()
    return APIClient()


@pytest.fixture
def signed_in(client: APIClient, root: User) -> APIClient:
    """Returns the client with an access token of root."""
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(login.open_session(root, proofs.PASSWORD)[0])}")
    return client


@pytest.fixture
def send(signed_in: APIClient) -> Callable[..., Any]:
    """Sends a body as root: send(operation, b"{}", content_type). Checks that the operation documents the error."""

    def send(operation: Operation, body: bytes, content_type: str = JSON) -> Any:
        answer = generic(signed_in, operation.verb, operation.path, body, content_type)
        assert problem(answer)["code"] in operation.errors
        return answer

    return send


def generic(client: Any, verb: str, path: str, body: bytes, content_type: str = JSON) -> Any:
    return client.generic(verb, path, body, content_type)


def log_in(client: APIClient, body: bytes, content_type: str = JSON) -> Any:
    return generic(client, "POST", "/api/v1/auth/login/", body, content_type)


def problem(answer: Any) -> dict[str, Any]:
    """Returns the problem document of a client error."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content)
    return refused(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("operation", READ_A_BODY, ids=str)
def test_malformed_json_is_rejected(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for name, body in MALFORMED.items():
        answer = send(operation, body)
        assert answer.status_code == 400, name
        refused(answer, 400, "parse_error")
    assert all_rows() == before


@pytest.mark.parametrize("operation", READ_A_BODY, ids=str)
def test_other_media_types_are_rejected(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for content_type, body in OF_ANOTHER_TYPE.items():
        refused(send(operation, body, content_type), 415, "unsupported_media_type")
    assert all_rows() == before


@pytest.mark.parametrize("operation", ALL, ids=str)
def test_too_large_bodies_are_rejected(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for content_type, bodies in TOO_LARGE.items():
        for body in bodies:
            refused(send(operation, body, content_type), 413, "payload_too_large")
    assert all_rows() == before


def test_only_operations_that_read_ignore_a_body() -> None:
    assert [str(one) for one in IGNORE_A_BODY if one.verb != "GET"] == ["POST auth/passkey/options/"]


@pytest.mark.parametrize("operation", IGNORE_A_BODY, ids=str)
def test_an_ignored_body_has_no_effect(operation: Operation, signed_in: APIClient) -> None:
    """Each request is rolled back, so that all have the same effect."""

    def status(body: bytes, content_type: str = JSON) -> int:
        with transaction.atomic():
            answer = generic(signed_in, operation.verb, operation.path, body, content_type)
            transaction.set_rollback(True)
        return int(answer.status_code)

    expected = status(b"")
    assert expected not in {400, 415}
    assert {name: status(body) for name, body in MALFORMED.items()} == dict.fromkeys(MALFORMED, expected)
    assert {kind: status(body, kind) for kind, body in OF_ANOTHER_TYPE.items()} == dict.fromkeys(
        OF_ANOTHER_TYPE, expected
    )


@pytest.mark.parametrize("operation", [one for one in operations(*UNSAFE) if one.fields], ids=str)
def test_json_that_is_not_an_object_is_rejected(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for body in NO_OBJECT:
        (error,) = refused(send(operation, body), 400, "validation_error")["errors"]
        assert error["field"] is None
    assert all_rows() == before


@pytest.mark.parametrize("operation", [one for one in operations(*UNSAFE) if one.fields], ids=str)
def test_no_field_accepts_a_value_of_another_type(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for field, description in operation.fields.items():
        for value in WRONG[PROOFS.get(field) or kind(description)]:
            body = json.dumps(operation.body | {field: value}).encode()
            errors = refused(send(operation, body), 400, "validation_error")["errors"]
            assert {error["field"].split(".")[0] for error in errors} == {field}, (field, value)
            assert field != "passkey" or [error["code"] for error in errors] == ["invalid"]
    assert all_rows() == before


def kind(description: dict[str, Any]) -> str:
    kind: str | list[str] = description.get("type", "choice")
    return kind if isinstance(kind, str) else kind[0]


@pytest.mark.parametrize("operation", [one for one in operations(*UNSAFE) if one.required], ids=str)
def test_a_required_field_may_be_neither_missing_nor_empty(operation: Operation, send: Callable[..., Any]) -> None:
    before = all_rows()
    for body in (b"{}", b""):
        errors = refused(send(operation, body), 400, "validation_error")["errors"]
        assert {(error["field"], error["code"]) for error in errors} == {
            (name, "required") for name in operation.required
        }
    for name in operation.required:
        for nothing in ("", None)[name == "code" :]:  # an empty code of a second factor is a wrong code
            body = json.dumps(operation.body | {name: nothing}).encode()
            (error,) = refused(send(operation, body), 400, "validation_error")["errors"]
            assert error["field"] == name
    assert all_rows() == before


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "٣", "0x10", " ", "9" * 30])
def test_an_invalid_content_length_is_a_client_error(client: APIClient, length: str) -> None:
    answer = client.post("/api/v1/auth/login/", {"email": "x", "password": "y"}, "json", CONTENT_LENGTH=length)
    assert problem(answer)["status"] in {400, 413}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_the_media_type_of_json_may_have_parameters(client: APIClient, content_type: str) -> None:
    body = json.dumps({"email": "ana@example.com", "password": PASSWORD}).encode()
    assert log_in(client, body, content_type).status_code == 200


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "nonsense", "", "utf-8; utf-7"])
def test_json_is_read_as_utf8_regardless_of_the_charset(client: APIClient, charset: str) -> None:
    body = json.dumps({"email": "ana@example.com", "password": PASSWORD, "full_name": "ñ"}, ensure_ascii=False)
    content_type = f"application/json; charset={charset}"
    answer = log_in(client, body.encode(), content_type)
    assert answer.status_code == 200
    refused(log_in(client, body.encode("utf-16"), content_type), 400, "parse_error")


def test_the_largest_body_is_64_kib(client: APIClient) -> None:
    def padded(size: int) -> bytes:
        body = json.dumps({"email": "ana@example.com", "password": PASSWORD, "unknown": ""}).encode()
        return body[:-2] + b"x" * (size - len(body)) + b'"}'

    assert len(padded(64 * 1024)) == 64 * 1024
    assert log_in(client, padded(64 * 1024)).status_code == 200
    refused(log_in(client, padded(64 * 1024 + 1)), 413, "payload_too_large")


def test_a_body_may_be_nested_to_a_depth_of_32(client: APIClient) -> None:
    credentials = json.dumps({"email": "ana@example.com", "password": PASSWORD}).encode()
    assert log_in(client, credentials[:-1] + b', "unknown": ' + b"[" * 31 + b"]" * 31 + b"}").status_code == 200


def test_large_numbers_are_accepted(client: APIClient) -> None:
    body = b'{"email": "ana@example.com", "password": "x", "unknown": [1e300, 12345678901234567890, -0]}'
    refused(log_in(client, body), 401, "invalid_credentials")


def test_clients_that_are_not_signed_in_get_no_other_error(client: APIClient) -> None:
    before = all_rows()
    for body in (b"hello", b"{}", b"[" * 900):
        refused(generic(client, "PATCH", "/api/v1/users/me/", body), 401, "not_authenticated")
    assert all_rows() == before
    assert OneTimeToken.objects.exists()
