"""Serves the OpenAPI document and the page that shows it, as bytes that each process builds once per language."""

from hashlib import sha256
from http import HTTPStatus
from threading import Lock
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import parse_etags
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from accounts.api.base import StatelessView
from accounts.api.content_negotiation import IgnoreAccept

MAX_AGE_SECONDS = 60
PAGE = "text/html"
JSON_TYPES = ("application/json", "application/vnd.oai.openapi+json")
YAML_TYPES = ("application/yaml", "application/vnd.oai.openapi")
# The first is for a client that accepts anything. JSON is also valid YAML, so every client can read it.
DOCUMENT_TYPES = (*JSON_TYPES, *YAML_TYPES)


class Document(NamedTuple):
    """The content of a response, and its strong ETag."""

    content: bytes
    etag: str


_documents: dict[str, dict[str, Document]] = {}
_lock = Lock()


class DocumentView(StatelessView):
    """Answers GET and HEAD with a prepared document, and ignores the query string."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = IgnoreAccept
    schema = None
    media_types: tuple[str, ...] = ()

    def get(self, request: Request) -> HttpResponse:
        media_type = request.get_preferred_type(self.media_types) or self.media_types[0]
        document = documents(translation.get_language())[media_type]
        known = parse_etags(request.headers.get("If-None-Match", ""))
        # A proxy that compresses makes the ETag a weak one.
        if "*" in known or document.etag in (etag.removeprefix("W/") for etag in known):
            answer = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
            del answer["Content-Type"]
        else:
            charset = "; charset=utf-8" if media_type == PAGE else ""
            answer = HttpResponse(document.content, content_type=media_type + charset)
        answer["ETag"] = document.etag
        patch_vary_headers(answer, ["Accept"])
        patch_cache_control(answer, public=True, max_age=MAX_AGE_SECONDS)
        return answer


class SchemaView(DocumentView):
    """The OpenAPI document: JSON, or YAML for a client whose Accept prefers it."""

    media_types = DOCUMENT_TYPES


class DocsView(DocumentView):
    """The page that shows the operations and can send requests."""

    media_types = (PAGE,)


def documents(language: str | None) -> dict[str, Document]:
    """Returns all documents in this language by media type, and builds them at the first call.

    Only one thread builds at a time: drf-spectacular keeps global state, and two threads that generate a document at
    the same moment make each other fail.
    """
    key = language or settings.LANGUAGE_CODE
    with _lock:
        if key not in _documents:
            with translation.override(key):
                _documents[key] = _build()
        return _documents[key]


def build_all() -> None:
    """Builds the documents of every language, so that no request pays for that."""
    for language, _name in settings.LANGUAGES:
        documents(language)


def _build() -> dict[str, Document]:
    description: Any = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    as_json = _document(JSONRenderer().render(description))
    as_yaml = _document(OpenApiYamlRenderer().render(description, renderer_context={}))  # type: ignore[no-untyped-call]
    page = _document(render_to_string("usermanager/docs.html", {"title": settings.SPECTACULAR_SETTINGS["TITLE"]}))
    return dict.fromkeys(JSON_TYPES, as_json) | dict.fromkeys(YAML_TYPES, as_yaml) | {PAGE: page}


def _document(content: bytes | str) -> Document:
    content = content.encode() if isinstance(content, str) else content
    return Document(content, f'"{sha256(content).hexdigest()[:32]}"')
