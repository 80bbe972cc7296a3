"""In which media type an operation answers, going by the client's Accept header."""

from collections.abc import Iterable

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

PROBLEM_TYPE = "application/problem+json"


class IgnoreAccept(DefaultContentNegotiation):
    """For what has one form alone: every client gets it, whatever media type it prefers."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class Negotiation(IgnoreAccept):
    """Answers in JSON, and refuses with 406 a client that accepts neither JSON nor problem documents.

    A client that accepts problem documents alone is served, since generated clients put into Accept what the API's
    document names, and for an operation that answers 204 it names nothing else. Such an operation ignores Accept.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            renderer, media_type = DefaultContentNegotiation.select_renderer(self, request, renderers, format_suffix)
        except NotAcceptable:
            accepted = {media_type.partition(";")[0].strip().lower() for media_type in self.get_accept_list(request)}
            if PROBLEM_TYPE not in accepted and not _answers_without_body(request):
                raise
            return super().select_renderer(request, renderers, format_suffix)
        return renderer, media_type


def _answers_without_body(request: Request) -> bool:
    """Whether the operation's success is a 204, as its description says (accounts.api.schema.operation)."""
    view = (request.parser_context or {}).get("view")
    handler = getattr(view, str(request.method).lower(), None)
    return bool(getattr(handler, "answers_without_body", False))
