"""Views share what does not depend on the request: renderers, parsers, authenticators and permissions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils.translation import gettext_lazy
from rest_framework import renderers

from accounts.api.base import StatelessView
from accounts.api.me import MeView
from accounts.api.renderers import JSONRenderer
from tests.conftest import refused
from tests.usermanager.test_middleware import routes
from usermanager.health import LiveView

VIEWS: set[Any] = {getattr(view, "cls", None) for _route, view in routes(get_resolver().url_patterns)} - {None}


def test_two_requests_use_the_same_objects() -> None:
    first, second = MeView(), MeView()
    for name in ("renderers", "parsers", "authenticators", "permissions"):
        [one], [same] = getattr(first, f"get_{name}")(), getattr(second, f"get_{name}")()
        assert one is same
    assert first.get_content_negotiator() is second.get_content_negotiator()


def test_no_shared_object_has_a_state_of_a_request() -> None:
    assert all(issubclass(view, StatelessView) for view in VIEWS)
    assert len(VIEWS) > 20
    for view in (view() for view in VIEWS):
        shared = [*view.get_renderers(), *view.get_parsers(), *view.get_authenticators(), *view.get_permissions()]
        for one in (*shared, view.get_content_negotiator()):
            assert set(vars(one)) <= {"user_model"}


def test_a_view_without_authentication_ignores_a_token(client: Client) -> None:
    answer = client.get("/health/live/", headers={"Authorization": "Bearer stale"})
    assert answer.json() == {"status": "ok"}
    assert not hasattr(answer.wsgi_request, "user")


def test_methods_are_those_of_the_view(client: Client) -> None:
    assert client.get("/health/live/")["Allow"] == "GET, HEAD, OPTIONS"  # Django adds HEAD to the view of a request
    refused(client.get("/api/v1/auth/login/"), 405, "method_not_allowed")
    view = LiveView()
    assert view.allowed_methods == ["GET", "OPTIONS"]
    assert view.allowed_methods is view.allowed_methods  # found once


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "",
        {"text": "áé\u2028\u2029</script>", "none": None, "number": 1.5, "id": uuid4()},
        {"at": datetime.now(UTC), "sum": Decimal("1.10"), "lazy": gettext_lazy("Not found"), "nested": [{"a": [1]}]},
    ],
    ids=["null", "object", "array", "text", "plain values", "converted values"],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/json; indent=2", "*/*"])
def test_json_is_that_of_rest_framework(data: Any, media_type: str) -> None:
    expected = renderers.JSONRenderer().render(data, media_type, {})
    assert JSONRenderer().render(data, media_type, {}) == expected


def test_a_number_that_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        JSONRenderer().render({"x": float("nan")}, "application/json", {})
