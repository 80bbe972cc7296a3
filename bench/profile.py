"""Prints what each step of a `GET users/me/` costs, in one process and one thread, without a server.

    .venv/bin/python -m bench.profile [--requests 500] [--functions 0]

Measures processor time, and prints the fastest of several rounds, because other programs only ever add to it. The steps
are measured in other rounds than the whole request, because reading the clock takes time as well. With --functions,
also prints that many functions with their own time, all of which cProfile makes slower.
"""

import argparse
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from io import BytesIO
from typing import Any

from bench.service import LOGIN, PASSWORD, PROJECT, variables_for

MEASURED = "--measured"
ROUNDS = 12
LOGIN_BODY = json.dumps({"email": "admin@example.com", "password": PASSWORD})
# Besides every middleware. A step that does not exist any more is left out.
STEPS = (
    "django.urls.resolvers:URLResolver.resolve",
    "rest_framework.views:APIView.dispatch",
    "rest_framework.views:APIView.initial",
    "rest_framework.views:APIView.finalize_response",
    "accounts.jwt.access_tokens:SessionJWTAuthentication.authenticate",
    "accounts.jwt.access_tokens:SigningKeyBackend.decode",
    "accounts.api.me:MeView.get",
    "django.db.backends.utils:CursorWrapper.execute",
    "django.template.response:SimpleTemplateResponse.render",
)


class Steps:
    """The functions that are measured, and their processor time in nanoseconds, without the functions within them."""

    def __init__(self) -> None:
        self.own: dict[str, int] = {}
        self._inner = [0]

    def add(self, owner: Any, attribute: str, name: str) -> None:
        setattr(owner, attribute, self._measured(getattr(owner, attribute), name))

    def _measured(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            self.own.setdefault(name, 0)
            self._inner.append(0)
            begin = time.thread_time_ns()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time_ns() - begin
                self.own[name] += took - self._inner.pop()
                self._inner[-1] += took

        return measured


def main() -> None:
    options = _options()
    if options.measured:
        _measure(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = variables_for(folder, BCRYPT_ROUNDS="4", RATE_LIMITS="off", ADMIN_PASSWORD=PASSWORD)
        subprocess.run([sys.executable, "manage.py", "prepare"], cwd=PROJECT, env=environment, check=True)
        program = [sys.executable, "-m", "bench.profile", *sys.argv[1:], MEASURED]
        subprocess.run(program, cwd=PROJECT, env=environment, check=True)


def _measure(options: argparse.Namespace) -> None:
    from usermanager.wsgi import application  # noqa: PLC0415 - reads the environment

    token = json.loads(_send(application, "POST", LOGIN, body=LOGIN_BODY))["access"]

    def read_profile() -> None:
        _send(application, "GET", "/api/v1/users/me/", token)

    whole = _fastest(read_profile, options.requests)
    alive = _fastest(lambda: _send(application, "GET", "/health/live/"), options.requests)
    print("| GET users/me/ | µs |\n| --- | ---: |")
    for name, nanoseconds in _steps(read_profile, options.requests).items():
        print(f"| {name} | {nanoseconds / 1000:.0f} |")
    print(f"| **all, without reading the clock at each step** | **{whole / 1000:.0f}** |")
    print(f"| `GET /health/live/` | {alive / 1000:.0f} |")
    if options.functions:
        _print_functions(read_profile, options)


def _fastest(respond: Callable[[], object], requests: int) -> float:
    """Returns the nanoseconds of processor time of a request in the fastest round."""
    rounds = []
    for _round in range(ROUNDS):
        begin = time.thread_time_ns()
        for _request in range(requests // ROUNDS):
            respond()
        rounds.append((time.thread_time_ns() - begin) / (requests // ROUNDS))
    return min(rounds)


def _steps(respond: Callable[[], object], requests: int) -> dict[str, float]:
    """Measures each step in the round that is the fastest in all."""
    from django.conf import settings  # noqa: PLC0415 - reads the environment

    steps = Steps()
    for path in settings.MIDDLEWARE:
        module, _dot, name = path.rpartition(".")
        _add(steps, f"{module}:{name}.__call__")
    for path in STEPS:
        _add(steps, path)
    found: list[dict[str, float]] = []
    for _round in range(ROUNDS):
        steps.own.clear()
        for _request in range(requests // ROUNDS):
            respond()
        found.append({name: own / (requests // ROUNDS) for name, own in steps.own.items()})
    return min(found, key=lambda one: sum(one.values()))


def _add(steps: Steps, path: str) -> None:
    module, _colon, attributes = path.partition(":")
    name, _dot, attribute = attributes.partition(".")
    owner = getattr(import_module(module), name, None)
    if hasattr(owner, attribute):
        steps.add(owner, attribute, name if attribute == "__call__" else attributes)


def _print_functions(respond: Callable[[], object], options: argparse.Namespace) -> None:
    with cProfile.Profile() as profile:
        for _request in range(options.requests):
            respond()
    pstats.Stats(profile).sort_stats("tottime").print_stats(options.functions)


def _send(application: Callable[..., Any], method: str, path: str, token: str = "", body: str = "") -> bytes:
    """Passes a request to the application as gunicorn does. Returns the body of the response."""
    environ = {
        **{"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "", "RAW_URI": path},
        **{"SERVER_NAME": "localhost", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"},
        **{"REMOTE_ADDR": "127.0.0.1", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))},
        **{"wsgi.input": BytesIO(body.encode()), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr},
        **({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}),
    }
    response = application(environ, lambda _status, _headers: None)
    content = b"".join(response)
    response.close()
    return content


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--functions", type=int, default=0)
    parser.add_argument(MEASURED, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
