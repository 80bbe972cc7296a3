"""manage.py serve: runs the whole product in the foreground."""

import errno
import ipaddress
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from accounts.management.base import ExampleCommand
from usermanager import bootstrap, forking, health, preloading
from usermanager.processes import supervised_processes
from usermanager.supervisor import ProcessFailed, Supervisor

READY_SECONDS = 60.0
OPTIONAL_SECONDS = 10.0
BACKLOG = 2048


class Command(ExampleCommand):
    help = "Runs the web server, the mail relay and, with a broker, the Celery worker until Ctrl-C or SIGTERM."
    example = "serve"

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Uses the database and the broker in forks only, as this process itself must have no connections and threads
        when it forks."""
        with _listen() as listener:
            preloading.load_everything()
            password = forking.result_of(bootstrap.run)
            supervisor = Supervisor(list(supervised_processes(listener)), settings.BASE_DIR)
            try:
                supervisor.start()
                broker = forking.result_of(health.broker_state) if settings.CELERY_BROKER_URL else "none"
                optional_seconds = OPTIONAL_SECONDS if broker == "ok" else 0.0  # the worker is not ready without it
                if supervisor.wait_until_ready(seconds=READY_SECONDS, optional_seconds=optional_seconds):
                    self.stdout.write(_summary(password, broker))
                    self.stdout.flush()
                    supervisor.run()
            except ProcessFailed as failure:
                raise CommandError(str(failure)) from failure
            finally:
                supervisor.stop()


def _listen() -> socket.socket:
    """Opens the socket of the web server before anything else starts. Raises CommandError if that fails."""
    host = "127.0.0.1" if settings.BIND == "localhost" else settings.BIND
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, settings.PORT))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(_bind_error(error)) from error
    return listener


def _bind_error(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = 8001 if settings.PORT == 8000 else 8000
        return f"Port {settings.PORT} is taken: end the program that uses it, or choose another port with PORT={other}."
    if error.errno == errno.EACCES:
        return f"This user may not use port {settings.PORT}: choose one above 1023, for example with PORT=8000."
    return f"{settings.BIND} is not an address of this machine: choose another one, for example with BIND=127.0.0.1."


def _summary(password: str | None, broker: str) -> str:
    lines = {
        "API": f"{settings.PUBLIC_URL}/api/v1/   documentation: {settings.PUBLIC_URL}/api/docs/",
        "Admin": f"{settings.PUBLIC_URL}/admin/",
        "Emails": _email_destination(),
        "Broker": _broker_summary(broker),
        "Data": str(settings.DATA_DIR),
    }
    if password:
        lines["Admin"] += f"   {settings.ADMIN_EMAIL} with the password {password} (shown this once)"
    width = max(map(len, lines))
    body = "\n".join(f"  {name:<{width}}  {value}" for name, value in lines.items())
    return f"\nUserManager is ready. Ctrl-C ends it.\n\n{body}\n"


def _email_destination() -> str:
    if hasattr(settings, "EMAIL_FILE_PATH") and settings.EMAIL_FILE_PATH:
        return f"files in {settings.EMAIL_FILE_PATH}"
    if settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return "printed to this terminal"
    return f"sent via {settings.EMAIL_HOST}:{settings.EMAIL_PORT}"


def _broker_summary(state: str) -> str:
    """Describes the broker, without the password in its URL."""
    if state == "none":
        return "none; the mail relay delivers"
    place = settings.CELERY_BROKER_URL.rpartition("@")[2].removeprefix("amqp://").removeprefix("amqps://")
    return f"RabbitMQ at {place}" + ("" if state == "ok" else ", not reachable; the mail relay delivers meanwhile")
