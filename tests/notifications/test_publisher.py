"""Publishing to the broker: within 100 ms or not at all, and no email is lost."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from notifications.models import Queue
from notifications.sending import publisher
from notifications.sending.wake_up import WakeUpSocket
from tests.notifications.conftest import Broker, forget_failures
from tests.notifications.proxy import Proxy
from tests.usermanager.processes import eventually, free_port

pytestmark = pytest.mark.usefixtures("fresh_publisher")

ONE_WAIT = [publisher.WAIT_SECONDS]
MALFORMED = [
    b"\x01\x00\x00\x00\x00\x00\x02\x00\x0a\xce",  # half the number of a method
    b"\x01\x00\x00\x00\x00\x00\x06\x00\x0a\x00\x0a\x00\x09\xce",  # a greeting that breaks off
]


@contextmanager
def talking(first_words: bytes) -> Iterator[int]:
    """Serves these bytes to each client that sends AMQP's greeting; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            while True:
                try:
                    end = server.accept()[0]
                except OSError:
                    return
                with end:
                    end.recv(8)
                    end.sendall(first_words)

        thread = threading.Thread(target=talk)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The timeout of each wait of a caller for the publisher's thread, which doesn't depend on the machine's load.

    A caller that leaves the broker alone doesn't wait.
    """
    waits: list[float | None] = []
    submit = publisher._executor.submit

    def submitted(*arguments: Any) -> Future[Any]:
        answer = submit(*arguments)
        result = answer.result

        def wait(timeout: float | None = None) -> Any:
            waits.append(timeout)
            return result(timeout)

        answer.result = wait  # type: ignore[method-assign]
        return answer

    monkeypatch.setattr(publisher._executor, "submit", submitted)
    return waits


def publish() -> bool:
    return publisher.publish(uuid4(), Queue.NOW)


def test_a_caller_waits_for_less_than_100_ms() -> None:
    assert publisher.WAIT_SECONDS < 0.1


def test_without_a_broker_the_relay_is_notified_of_the_email(wake_up_socket: WakeUpSocket) -> None:
    mail_id = uuid4()
    publisher.dispatch(mail_id, Queue.NOW)
    assert wake_up_socket.wait(1) == [mail_id]


def test_bulk_emails_are_left_to_the_relay(wake_up_socket: WakeUpSocket, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://127.0.0.1:1//"
    publisher.dispatch(uuid4(), Queue.BULK)
    begin = time.monotonic()
    assert wake_up_socket.wait(60) == []
    assert time.monotonic() - begin < 30


def test_a_broker_that_is_not_there_costs_nothing_and_is_then_left_alone(
    wake_up_socket: WakeUpSocket, settings: Settings, waits: list[float | None]
) -> None:
    settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{free_port()}//"
    mail_id = uuid4()
    publisher.dispatch(mail_id, Queue.NOW)
    assert wake_up_socket.wait(1) == [mail_id]
    assert publish() is False
    assert waits == ONE_WAIT


def test_a_silent_broker_is_given_up_in_time_and_retried_by_one_thread(
    settings: Settings, waits: list[float | None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{silent.getsockname()[1]}//"
        assert publish() is False
        assert publish() is False
        assert waits == ONE_WAIT
        waits.clear()
        publisher._broken_until = time.monotonic()  # the pause is over
        threads = [threading.Thread(target=publish) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert waits == ONE_WAIT


def test_a_silent_resolver_delays_no_caller(
    wake_up_socket: WakeUpSocket, settings: Settings, monkeypatch: pytest.MonkeyPatch, waits: list[float | None]
) -> None:
    settings.CELERY_BROKER_URL = "amqp://mq.example.com//"
    is_over = threading.Event()

    def getaddrinfo(*_arguments: object) -> list[object]:
        is_over.wait(20)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    mail_id = uuid4()
    publisher.dispatch(mail_id, Queue.NOW)
    assert wake_up_socket.wait(1) == [mail_id]
    publisher._broken_until = time.monotonic()  # the pause is over, and the thread still waits
    assert publisher.free_capacity(Queue.NOW) is None
    assert publish() is False
    assert waits == ONE_WAIT * 2
    is_over.set()


@pytest.mark.parametrize("frame", MALFORMED)
def test_an_invalid_answer_of_the_broker_is_an_error(
    settings: Settings, caplog: pytest.LogCaptureFixture, frame: bytes
) -> None:
    caplog.set_level(logging.WARNING, publisher.log.name)
    with talking(frame) as port:
        settings.CELERY_BROKER_URL = f"amqp://127.0.0.1:{port}//"
        assert publish() is False
        assert "not used for 15 s: error unpack_from requires" in caplog.text
        forget_failures()
        assert publisher.free_capacity(Queue.NOW) is None
        assert publisher._broken_until


@pytest.mark.broker
def test_all_steps_together_have_one_timeout(
    broker: Broker, proxy: Proxy, waits: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting takes eight round trips, too long for the first email; the next ones find a connection."""
    proxy.delay_seconds = 0.03
    assert publish() is False
    assert waits == ONE_WAIT
    eventually(lambda: not publisher._broken_until)
    monkeypatch.setattr(publisher, "WAIT_SECONDS", 5.0)
    assert publish()
    assert proxy.connections == 1


@pytest.mark.broker
@pytest.mark.usefixtures("unhurried")
def test_the_broker_holds_the_id_and_nothing_else(broker: Broker) -> None:
    mail_id = uuid4()
    assert publisher.publish(mail_id, Queue.NOW)
    message: Any = broker.take("mail.now.v1")
    assert message.payload[:2] == [[str(mail_id)], {}]
    assert message.headers["task"] == "notifications.deliver"
    assert message.properties.get("delivery_mode") == 2, "not kept over a restart of the broker"
    assert broker.take("mail.now.v1") is None


@pytest.mark.broker
@pytest.mark.usefixtures("unhurried")
def test_publishing_takes_one_round_trip(broker: Broker, proxy: Proxy) -> None:
    assert publish()
    before = proxy.answers
    assert all(publish() for _ in range(100))
    assert (proxy.answers - before, proxy.connections) == (100, 1)


@pytest.mark.broker
@pytest.mark.usefixtures("unhurried")
def test_a_queue_has_capacity_only_with_a_consumer(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MAX_QUEUED", 3)
    assert publisher.free_capacity(Queue.NOW) is None
    with broker.reader("mail.now.v1"):
        assert publisher.free_capacity(Queue.NOW) == 3
        for _ in range(5):
            publish()
        assert publisher.free_capacity(Queue.NOW) == 0
        assert publisher.free_capacity(Queue.BULK) is None


@pytest.mark.broker
@pytest.mark.usefixtures("unhurried")
def test_a_queue_that_was_deleted_is_noticed_and_made_again(broker: Broker) -> None:
    assert publish()
    broker.delete("mail.now.v1")
    assert publish() is False
    publisher._broken_until = time.monotonic()
    assert publish()
    assert broker.take("mail.now.v1") is not None


@pytest.mark.broker
def test_a_broker_that_hangs_is_given_up_in_time_and_comes_back(
    broker: Broker, proxy: Proxy, waits: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patient:
        patient.setattr(publisher, "WAIT_SECONDS", 5.0)
        assert publish()
    waits.clear()
    proxy.is_frozen = True
    assert publish() is False
    publisher._broken_until = time.monotonic()
    assert publish() is False
    assert waits == ONE_WAIT * 2
    proxy.is_frozen = False
    eventually(lambda: not publisher._broken_until)
    monkeypatch.setattr(publisher, "WAIT_SECONDS", 5.0)
    assert publish()


@pytest.mark.broker
@pytest.mark.usefixtures("unhurried")
def test_all_threads_share_one_connection_which_is_reopened_after_a_failure(broker: Broker, proxy: Proxy) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: publish(), range(8)))
        assert proxy.connections == 1
        proxy.cut()
        assert publish() is False
        publisher._broken_until = 0.0
        assert all(pool.map(lambda _: publish(), range(8)))
        assert proxy.connections == 2
