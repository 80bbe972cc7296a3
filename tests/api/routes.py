"""Lists the routes and operations of the service, from the URLconf and the OpenAPI document."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator

ANA_ID = "0198c0de-0000-7000-8000-000000000001"
SESSION_ID = "0198c0de-0000-7000-8000-000000000002"
FACTOR_ID = "0198c0de-0000-7000-8000-000000000003"
PLACES = {
    "pk": ANA_ID,
    "id": ANA_ID,
    "session_id": SESSION_ID,
    "factor_id": FACTOR_ID,
    "name": "support",
    "format": "json",
}
ANY_ID = "[^/]+"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
VERBS = ("GET", "HEAD", "OPTIONS", *UNSAFE)


class Route(NamedTuple):
    path: str
    verbs: frozenset[str]

    def __str__(self) -> str:
        path = self.path.removeprefix("/api/v1/").replace(FACTOR_ID, "factor")
        return path.replace(ANA_ID, "ana").replace(SESSION_ID, "session")


class Operation(NamedTuple):
    """A method of a route.

    `body` is an example of its body, `fields` describes its fields, `required` names the required ones, `errors` are
    the codes that the operation documents, and `description` is its text.
    """

    verb: str
    path: str
    body: dict[str, Any]
    fields: dict[str, Any]
    required: frozenset[str]
    errors: frozenset[str]
    description: str

    def __str__(self) -> str:
        return f"{self.verb} {Route(self.path, frozenset())}"


@cache
def routes(prefix: str = "/api/v1/") -> list[Route]:
    """Returns the routes below the prefix, with example ids in their paths."""
    return sorted(route for route in _walk(get_resolver().url_patterns, "/") if route.path.startswith(prefix))


@cache
def operations(*verbs: str) -> list[Operation]:
    """Returns the operations of the API with one of the methods."""
    described = _described()
    return [
        Operation(verb, route.path, *described[verb, route.path])
        for route in routes()
        for verb in verbs
        if verb in route.verbs
    ]


def documented(verb: str, path: str) -> Operation | None:
    """Returns the documented operation that answers this request; None for any other."""
    verb = "GET" if verb == "HEAD" else verb
    path = f"{path.rstrip('/')}/"
    found = [(pattern, one) for pattern, one in _patterns() if one.verb == verb and re.fullmatch(pattern, path)]
    return min(found, key=lambda each: each[0].count(ANY_ID))[1] if found else None


@cache
def problem_members() -> frozenset[str]:
    """Returns the documented members of problem documents."""
    return frozenset(_schema()["components"]["schemas"]["Problem"]["properties"])


@cache
def _patterns() -> list[tuple[str, Operation]]:
    """Returns each operation with a pattern of its paths."""
    ids = "|".join(map(re.escape, PLACES.values()))
    return [(re.sub(ids, ANY_ID, one.path), one) for one in operations("GET", *UNSAFE)]


def _walk(patterns: list[URLPattern | URLResolver], before: str) -> Iterator[Route]:
    for pattern in patterns:
        path = before + _filled(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        else:
            yield Route(path, frozenset(_verbs(pattern.callback)))


def _filled(pattern: str) -> str:
    path = re.sub(r"\(\?P<(\w+)>(?:\[[^]]*\]\+|[^)]*)\)", lambda match: PLACES.get(match[1], "x"), pattern)
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: PLACES.get(match[1], "x"), path)
    return path.removeprefix("^").removesuffix("$").removesuffix("\\Z").replace("/?", "/")


def _verbs(view: Callable[..., Any]) -> Iterator[str]:
    served: Any = getattr(view, "actions", None) or getattr(view, "cls", getattr(view, "view_class", None))
    for verb in ("GET", *UNSAFE):
        if verb.lower() in served if isinstance(served, dict) else hasattr(served, verb.lower()):
            yield from ("GET", "HEAD") if verb == "GET" else (verb,)


@cache
def _schema() -> Any:
    return SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]


@cache
def _described() -> dict[tuple[str, str], tuple[Any, ...]]:
    """Returns the other members of each Operation by method and path, from the OpenAPI document."""
    schema = _schema()
    found = {}
    for template, verbs in schema["paths"].items():
        path = re.sub(r"{(\w+)}", lambda match: PLACES[match[1]], template)
        for verb, operation in verbs.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            shape = _resolved(content.get("schema", {}), schema)
            examples = [example["value"] for example in content.get("examples", {}).values()]
            found[verb.upper(), path] = (
                examples[0] if examples else {},
                shape.get("properties", {}),
                frozenset(shape.get("required", [])),
                frozenset(
                    re.findall(r"`(\w+)`", " ".join(map(itemgetter("description"), operation["responses"].values())))
                ),
                operation.get("description", ""),
            )
    return found


def _resolved(part: dict[str, Any], schema: Any) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    resolved: dict[str, Any] = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return resolved
