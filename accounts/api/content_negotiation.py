"""Chooses the media type of a response from the client's Accept header."""

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

PROBLEM_TYPE = "application/problem+json"
JSON_TYPE = "application/json"


class IgnoreAccept(DefaultContentNegotiation):
    """Ignores the Accept header, for responses that exist in one media type only."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class ContentNegotiation(IgnoreAccept):
    """Responds in JSON, and with 406 to a client that accepts neither JSON nor problem documents.

    Clients that accept only problem documents are served as well. Generated clients list in Accept the media types that
    the OpenAPI document names, and for an operation that returns 204 it names no other. Such an operation ignores
    Accept.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderers = list(renderers)
        if request.META.get("HTTP_ACCEPT", JSON_TYPE) in (JSON_TYPE, "*/*"):  # as nearly every client sends
            return renderers[0], JSON_TYPE
        try:
            renderer, media_type = DefaultContentNegotiation.select_renderer(self, request, renderers, format_suffix)
        except NotAcceptable:
            accepted = {media_type.partition(";")[0].strip().lower() for media_type in self.get_accept_list(request)}
            if PROBLEM_TYPE not in accepted and not _answers_without_body(request):
                raise
            return super().select_renderer(request, renderers, format_suffix)
        return renderer, media_type


def _answers_without_body(request: Request) -> bool:
    """Returns whether the operation returns 204 on success; `accounts.api.schema.operation` notes that."""
    view = (request.parser_context or {}).get("view")
    handler = getattr(view, str(request.method).lower(), None)
    return bool(getattr(handler, "answers_without_body", False))
