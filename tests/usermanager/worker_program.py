"""A WSGI application whose responses take long, fail or come in pieces, for tests of the web server's worker."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import usermanager.wsgi  # noqa: F401 - loads Django's apps, which gunicorn_config needs

SLOW_SECONDS = 1.0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(SLOW_SECONDS)
    body = environ["wsgi.input"].read() or path.encode()
    if path == "/broken":
        start_response("200 OK", [])
        return _broken()
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body[:1], body[1:]]


def _broken() -> Iterator[bytes]:
    yield b"x" * 10
    raise RuntimeError("the response breaks")
