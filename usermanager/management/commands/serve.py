"""manage.py serve: the whole product in the foreground."""

import errno
import ipaddress
import os
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from accounts.management.base import ExampleCommand
from usermanager import health, metrics_folder
from usermanager.children import children
from usermanager.preparation import prepare
from usermanager.supervisor import ChildFailed, Supervisor

READY_SECONDS = 60.0
PATIENCE_SECONDS = 10.0
BACKLOG = 2048


class Command(ExampleCommand):
    help = "Runs the web server, the mail relay and, with a broker, the Celery worker until Ctrl-C or SIGTERM."
    example = "serve"

    def handle(self, *arguments: Any, **options: Any) -> None:
        with _listen() as listener, metrics_folder.made() as metrics:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics  # in which all processes count, and a web process adds up
            password = prepare()
            supervisor = Supervisor(list(children(listener)), settings.BASE_DIR)
            try:
                supervisor.start()
                patience_seconds = PATIENCE_SECONDS if health.broker() == "ok" else 0.0  # the worker waits for it, too
                if supervisor.wait_until_ready(seconds=READY_SECONDS, patience_seconds=patience_seconds):
                    self.stdout.write(_summary(password))
                    self.stdout.flush()
                    supervisor.run()
            except ChildFailed as failure:
                raise CommandError(str(failure)) from failure
            finally:
                supervisor.stop()


def _listen() -> socket.socket:
    """The socket on which the web server will answer; it is taken before anything else is started."""
    host = "127.0.0.1" if settings.BIND == "localhost" else settings.BIND
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, settings.PORT))
        listener.listen(BACKLOG)
    except OSError as fault:
        listener.close()
        raise CommandError(_why_not(fault)) from fault
    return listener


def _why_not(fault: OSError) -> str:
    if fault.errno == errno.EADDRINUSE:
        other = 8001 if settings.PORT == 8000 else 8000
        return f"Port {settings.PORT} is taken: end what listens there, or choose another with PORT={other}."
    if fault.errno == errno.EACCES:
        return f"Port {settings.PORT} is not open to this user: choose one above 1023 with PORT=8000."
    return f"{settings.BIND} is not an address of this machine: choose another with BIND=127.0.0.1."


def _summary(password: str | None) -> str:
    lines = {
        "API": f"{settings.PUBLIC_URL}/api/v1/   documentation: {settings.PUBLIC_URL}/api/docs/",
        "Admin": f"{settings.PUBLIC_URL}/admin/",
        "Mails": _mails(),
        "Broker": _broker(),
        "Data": str(settings.DATA_DIR),
    }
    if password:
        lines["Admin"] += f"   {settings.ADMIN_EMAIL} with the password {password} (shown this once)"
    width = max(map(len, lines))
    body = "\n".join(f"  {name:<{width}}  {value}" for name, value in lines.items())
    return f"\nUserManager is ready. Ctrl-C ends it.\n\n{body}\n"


def _mails() -> str:
    if hasattr(settings, "EMAIL_FILE_PATH") and settings.EMAIL_FILE_PATH:
        return f"files in {settings.EMAIL_FILE_PATH}"
    if settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return "printed here"
    return f"sent through {settings.EMAIL_HOST}:{settings.EMAIL_PORT}"


def _broker() -> str:
    """Without the password of its address."""
    state = health.broker()
    if state == "none":
        return "none; the relay on this machine delivers"
    place = settings.CELERY_BROKER_URL.rpartition("@")[2].removeprefix("amqp://").removeprefix("amqps://")
    return f"RabbitMQ at {place}" + ("" if state == "ok" else ", not reachable now; the relay delivers until it is")
