"""The processes that `manage.py serve` runs, and how each shows that it is ready."""

import http.client
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from usermanager import worker_ready
from usermanager.supervisor import Child

PROBE_SECONDS = 1.0
WORKER_PROCESSES = 4  # mostly they wait: for the mail server, for the disk, for the next task
QUEUES = "mail.now.v1,mail.bulk.v1"


def children(listener: socket.socket) -> Iterator[Child]:
    """The web server on a socket that listens already, the relay, and the worker where there is a broker."""
    yield _web(listener)
    yield _relay()
    if settings.CELERY_BROKER_URL:
        yield _worker()


def _web(listener: socket.socket) -> Child:
    bind = f"fd://{listener.fileno()}"
    program = ["-m", "gunicorn", "-c", "python:usermanager.gunicorn_config", "--bind", bind, "usermanager.wsgi"]
    return Child("web server", [sys.executable, *program], _web_answers, files=[listener.fileno()])


def _relay() -> Child:
    path = settings.DATA_DIR / "relay.sock"
    return Child("mail relay", [sys.executable, "manage.py", "relay"], lambda: _listens(path))


def _worker() -> Child:
    """Not essential: while the broker is away the relay delivers."""
    ready_file = settings.DATA_DIR / f"worker-{os.getpid()}.ready"
    ready_file.unlink(missing_ok=True)
    program = ["-m", "celery", "-A", "celery_app", "worker", "--include", worker_ready.__name__, "--queues", QUEUES]
    options = ["--concurrency", str(WORKER_PROCESSES), "--hostname", f"usermanager-{os.getpid()}@%h"]
    quiet = ["--loglevel", settings.LOG_LEVEL, "--without-gossip", "--without-mingle"]

    def is_ready() -> bool:
        if not ready_file.exists():
            return False
        ready_file.unlink()
        return True

    environment = {worker_ready.VARIABLE: str(ready_file)}
    return Child(
        "Celery worker", [sys.executable, *program, *options, *quiet], is_ready, environment, is_essential=False
    )


def _web_answers() -> bool:
    """Asks as a load balancer would, by an address that leads here whatever BIND says."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND, settings.BIND)  # noqa: S104
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/health/ready/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _listens(path: Path) -> bool:
    """Whether somebody reads from the socket: one that a killed process left behind refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a path too long for a socket: nobody can ring there, and the relay looks by itself
            return True
    return True
