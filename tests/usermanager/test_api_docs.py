"""Each process builds the OpenAPI document and its page once per language, for any number of requests."""

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from tests.conftest import refused
from usermanager import api_docs

PATHS = ["/api/schema/", "/api/docs/"]


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list that gets an entry for each build. No document is built yet."""
    built: list[str] = []
    generate = SchemaGenerator.get_schema

    def counted(self: SchemaGenerator, *args: Any, **kwargs: Any) -> Any:
        built.append("built")
        return generate(self, *args, **kwargs)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(SchemaGenerator, "get_schema", counted)
    monkeypatch.setattr(api_docs, "_documents", {})
    return built


def test_a_flood_of_requests_builds_one_document_per_language(builds: list[str]) -> None:
    def ask(number: int) -> tuple[str, int, bytes]:
        path, language = PATHS[number % 2], ("en", "es")[number // 2 % 2]
        query = f"?x={secrets.token_hex(4)}&format={number}&lang=de&script=&version={number}"
        answer = Client().get(path + query, headers={"Accept-Language": language})
        return path + language, answer.status_code, answer.content

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(ask, range(200)))
    assert {status for _what, status, _content in answers} == {200}
    assert len(answers) == 4  # two paths in two languages: the same bytes each time
    assert len(builds) == 2


def test_a_worker_builds_all_documents_before_its_first_request(builds: list[str], client: Client) -> None:
    api_docs.build_all()
    assert len(builds) == 2
    for language in ("en", "es", "es-MX", "fr"):
        assert client.get("/api/schema/", headers={"Accept-Language": language}).status_code == 200
    assert len(builds) == 2


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_has_the_document_gets_304(client: Client, path: str) -> None:
    first = client.get(path)
    etag = first["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
        assert again["Cache-Control"] == first["Cache-Control"] == "public, max-age=60"
        assert {"Accept", "Accept-Language"} <= set(again["Vary"].split(", "))
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    spanish = client.get("/api/schema/", headers={"Accept-Language": "es", "If-None-Match": etag})
    assert (spanish.status_code, spanish["Content-Language"]) == (200, "es")


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_like_get_and_other_methods_are_rejected(client: Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Type", "Cache-Control", "Vary", "Content-Language"):
        assert head[name] == get[name]
    refused(client.post(path), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/html", "application/json"),  # the document has no HTML form
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("application/yaml", "application/yaml"),
        ("application/json;q=0.5, application/yaml", "application/yaml"),
        ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
    ],
)
def test_accept_decides_between_json_and_yaml(client: Client, accept: str, content_type: str) -> None:
    answer = client.get("/api/schema/?format=yaml", headers={"Accept": accept})
    assert answer["Content-Type"] == content_type
    text = answer.content.decode()
    document = json.loads(text) if "json" in content_type else yaml.safe_load(text)
    assert document["openapi"] == "3.1.0"
    assert json.dumps(document) == json.dumps(client.get("/api/schema/").json())
