"""Loads the libraries of the product once, and then runs programs of the product in forks of this process.

The template loads no library that reads a setting while it loads. A fork imports the settings and the product itself,
with the environment of its test. Without a settings module, Django raises an error for a setting that is read here.
"""

import gc
import json
import os
import runpy
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

LIBRARIES = (
    "argon2",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.fixups.django",
    "corsheaders.middleware",
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.serialization",
    "css_inline",
    "dj_database_url",
    "django.contrib.admin.options",
    "django.contrib.admin.sites",
    "django.contrib.messages.storage.fallback",
    "django.contrib.sessions.middleware",
    "django.contrib.staticfiles.finders",
    "django.core.cache.backends.locmem",
    "django.core.mail.backends.filebased",
    "django.core.mail.backends.smtp",
    "django.core.management.commands.migrate",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.template.loader_tags",
    "django.template.loaders.app_directories",
    "django.template.loaders.cached",
    "django_filters.filterset",
    "environs",
    "gunicorn.app.wsgiapp",
    "jsonschema",
    "psycopg_pool",
    "pythonjsonlogger.json",
    "rest_framework.serializers",
    "uritemplate",
    "uuid_utils.compat",
    "whitenoise.middleware",
    "zxcvbn",
)
REQUEST_BYTES = 200_000
OWN_PACKAGES = {"accounts", "notifications", "usermanager", "celery_app"}


class Request(NamedTuple):
    """A program to run: its arguments as for Python, its environment, and its standard files."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    is_session: bool
    umask: int
    files: list[int]


def main() -> None:
    """Runs each program that the tests request on the socket, until they close it."""
    _load()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while request := _received(requests):
            pid = _forked_twice()
            if pid == 0:
                break
            for file in request.files:
                os.close(file)
            requests.send(str(pid).encode())
    if request:
        _run(request)


def _load() -> None:
    for name in LIBRARIES:
        import_module(name)
    assert not settings.configured
    assert not OWN_PACKAGES & set(sys.modules)
    assert len(os.listdir("/proc/self/task")) == 1  # a fork has only the thread that forked
    gc.collect()
    gc.freeze()  # else the collector would write to all objects in each fork


def _received(requests: socket.socket) -> Request | None:
    content, files, *_ = socket.recv_fds(requests, REQUEST_BYTES, 3)
    return Request(**json.loads(content), files=files) if content else None


def _forked_twice() -> int:
    """Returns the id of the fork of a fork, and 0 there. The fork between them ends, which makes the tests' process,
    as the subreaper, the parent of the program. So it can wait for the program as for any child process."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.close(writing)
        os.waitpid(between, 0)
        with open(reading, "rb") as pipe:
            return int(pipe.read())
    between = os.getpid()
    if pid := os.fork():
        os.write(writing, str(pid).encode())
        os._exit(0)
    os.close(reading)
    os.close(writing)
    while os.getppid() == between:
        time.sleep(0.001)
    return 0


def _run(request: Request) -> None:
    """Becomes the program, as far as a fork can."""
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ |= request.environment
    os.umask(request.umask)
    if request.is_session:
        os.setsid()
    first, *others = request.arguments
    if first == "-m":
        sys.argv, sys.path[0] = others, request.folder
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = request.arguments, str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
