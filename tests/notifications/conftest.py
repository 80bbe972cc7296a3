"""Fixtures: pending emails, an SMTP server that takes them, and a broker."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.test import Client
from kombu import Connection, Message, Queue
from pytest_django import Settings

from accounts.models import Role, User
from notifications import outbox
from notifications.models import OutboxMail
from notifications.sending import publisher, smtp
from notifications.sending.wake_up import WakeUpSocket
from tests.conftest import missing
from tests.notifications.mail_server import MailServer
from tests.notifications.proxy import Proxy
from tests.notifications.queues import NAMES, queues

Sees = Callable[..., Client]
BROKER = "amqp://guest:guest@127.0.0.1:5672//"


class Broker:
    """RabbitMQ with queues of this test alone, for this process and its child processes."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._connection = Connection(BROKER)
        self._channel: Any = self._connection.channel()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CELERY_BROKER_URL": BROKER,
            "DJANGO_SETTINGS_MODULE": "tests.notifications.broker_settings",
            "QUEUE_PREFIX": self.prefix,
        }

    def take(self, name: str) -> Message | None:
        """Takes the next message out."""
        return Queue(f"{self.prefix}.{name}", channel=self._channel).get(no_ack=True)

    @contextmanager
    def reader(self, name: str) -> Iterator[None]:
        """Consumes the queue without taking a message out."""
        channel: Any = self._connection.channel()
        channel.basic_qos(0, 1, False)
        tag = channel.basic_consume(f"{self.prefix}.{name}", callback=lambda message: None)
        yield
        channel.basic_cancel(tag)
        channel.close()

    def delete(self, name: str) -> None:
        self._channel.queue_delete(f"{self.prefix}.{name}")

    def close(self) -> None:
        for name in NAMES:
            self.delete(name)
            self._channel.exchange_delete(f"{self.prefix}.{name}")
        self._connection.close()


@pytest.fixture
def enqueue(db: None) -> Callable[..., OutboxMail]:
    """Enqueues an email to ana's address, without a user: enqueue("already_registered")."""

    def put(kind: str = "already_registered", **fields: Any) -> OutboxMail:
        return outbox.enqueue(kind, **{"email": "ana@example.com", "language": "en"} | fields)

    return put


@pytest.fixture
def mail_server(settings: Settings) -> Iterator[MailServer]:
    """An SMTP server to which EMAIL_URL points."""
    mail_server = MailServer()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail_server.port
    mail_server.open()
    yield mail_server
    smtp.disconnect()
    mail_server.close()


@pytest.fixture(autouse=True)
def broker_where_needed(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("broker"):
        try:
            socket.create_connection(("127.0.0.1", 5672), timeout=2).close()
        except OSError:
            missing("RabbitMQ at 127.0.0.1:5672 (guest/guest)")


@pytest.fixture
def broker(settings: Settings) -> Iterator[Broker]:
    prefix = f"test-{uuid4().hex[:12]}"
    known: Any = current_app.amqp.queues
    own: list[Any] = queues(prefix)
    for queue in own:
        known.add(queue)
    settings.CELERY_BROKER_URL = BROKER
    broker = Broker(prefix)
    yield broker
    for queue in own:
        known.pop(queue.name)
        known.aliases.pop(queue.alias)
    broker.close()


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def wake_up_socket(data_dir: Path) -> Iterator[WakeUpSocket]:
    """The relay's wake-up socket."""
    wake_up_socket = WakeUpSocket()
    yield wake_up_socket
    wake_up_socket.close()


@pytest.fixture
def fresh_publisher() -> Iterator[None]:
    """Resets the publisher: no connection, and no failure before."""
    forget_failures()
    yield
    forget_failures()


def forget_failures() -> None:
    """Resets the publisher after its thread has finished."""
    publisher._executor.submit(publisher._disconnect).result()
    publisher._broken_until = 0.0


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the publisher more time: these tests don't measure it, and the machine may be busy."""
    monkeypatch.setattr(publisher, "WAIT_SECONDS", 5.0)


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    """A TCP proxy in front of the broker."""
    proxy = Proxy()
    settings.CELERY_BROKER_URL = proxy.url
    yield proxy
    forget_failures()
    proxy.close()


@pytest.fixture
def sees(person: Callable[..., User], role: Callable[..., Role]) -> Sees:
    """Signs a user with these permissions in to the panel."""

    def sign_in(*permissions: str) -> Client:
        role("some", *permissions)
        client = Client()
        client.force_login(person("carla", role="some"), backend="accounts.backends.LoginBackend")
        return client

    return sign_in


@pytest.fixture
def manages(sees: Sees) -> Client:
    return sees("mails.view", "mails.change")
