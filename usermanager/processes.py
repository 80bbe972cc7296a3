"""The processes that `manage.py serve` runs, and how each shows that it is ready."""

import http.client
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from gunicorn.app import wsgiapp

from usermanager import worker_ready
from usermanager.supervisor import SupervisedProcess

PROBE_SECONDS = 1.0
WORKER_PROCESSES = 4  # they mostly wait, for the mail server, the disk or the next task
QUEUES = "mail.now.v1,mail.bulk.v1"


def supervised_processes(listener: socket.socket) -> Iterator[SupervisedProcess]:
    """Yields the web server, which gets the open listener, the relay and, with a broker, the Celery worker."""
    yield SupervisedProcess("web server", lambda: _run_web_server(listener), _is_web_server_ready)
    wake_up = settings.DATA_DIR / "relay.sock"
    yield SupervisedProcess("mail relay", lambda: _run_relay(listener), lambda: _has_reader(wake_up))
    if settings.CELERY_BROKER_URL:
        yield _celery_worker()


def _run_web_server(listener: socket.socket) -> None:
    bind = f"fd://{listener.fileno()}"
    sys.argv = ["gunicorn", "-c", "python:usermanager.gunicorn_config", "--bind", bind, "usermanager.wsgi"]
    wsgiapp.run()


def _run_relay(listener: socket.socket) -> None:
    listener.close()  # else the port would stay taken until the relay has ended
    execute_from_command_line(["manage.py", "relay"])


def _celery_worker() -> SupervisedProcess:
    """Returns the Celery worker. It is not essential: the relay delivers while the broker is down."""
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

    environment = {worker_ready.READY_FILE_VARIABLE: str(ready_file)}
    return SupervisedProcess(
        "Celery worker", [sys.executable, *program, *options, *quiet], is_ready, environment, is_essential=False
    )


def _is_web_server_ready() -> bool:
    """Requests /health/ready/ as a load balancer would, at an address that works for every value of BIND."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND, settings.BIND)  # noqa: S104
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/health/ready/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _has_reader(path: Path) -> bool:
    """Returns whether a process reads from the socket. A killed process leaves a socket that refuses connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # the path is too long for a socket: the relay works without it
            return True
    return True
