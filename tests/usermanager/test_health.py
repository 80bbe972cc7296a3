"""A load balancer reads the health of a process, and Prometheus its metrics."""

import re
import socket
import struct
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from notifications import outbox
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from tests.conftest import refused
from usermanager import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    health._require_migrations.cache_clear()
    health._broker_state_in.cache_clear()


def test_a_process_that_answers_is_alive(client: Client) -> None:
    assert client.get("/health/live/").json() == {"status": "ok"}


def test_it_is_ready_with_its_tables_and_without_a_broker(client: Client) -> None:
    answer = client.get("/health/ready/")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "database": "ok", "migrations": "ok", "broker": "none", "outbox": "ok"}


def test_a_probe_may_name_any_host(client: Client) -> None:
    assert client.get("/health/ready", headers={"Host": "10.1.2.3:8000"}).status_code == 200


@pytest.mark.parametrize("accept", ["text/plain", "text/html", "application/openmetrics-text;version=1.0.0", "image/*"])
def test_a_probe_may_ask_for_any_media_type(client: Client, accept: str) -> None:
    for path, kind in (
        ("/health/live/", "application/json"),
        ("/health/ready/", "application/json"),
        ("/metrics", "text/plain"),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (200, kind)


def test_without_the_tables_of_this_version_it_is_not_ready(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'accounts'")
    answer = client.get("/health/ready/")
    assert refused(answer, 503, "not_ready")["migrations"] == "missing"
    assert answer["Retry-After"] == "5"


def test_without_a_database_it_is_alive_but_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(health, "database_state", lambda: "down")
    document = refused(client.get("/health/ready/"), 503, "not_ready")
    assert document["database"] == "down"
    assert document["detail"] == "database"
    assert "Service Unavailable: /health/ready/" in caplog.text
    assert client.get("/health/live/").status_code == 200


def test_a_broker_that_is_down_is_reported_and_the_process_is_ready(client: Client, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://guest:guest@127.0.0.1:1//"
    answer = client.get("/health/ready/")
    assert answer.status_code == 200
    assert answer.json()["broker"] == "down"


@pytest.mark.parametrize("error", [socket.gaierror("no such name"), struct.error("half a frame")])
def test_any_error_of_the_broker_means_down(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def getaddrinfo(*_arguments: object) -> None:
        raise error

    settings.CELERY_BROKER_URL = "amqp://mq.example.com//"
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    answer = client.get("/health/ready/")
    assert (answer.status_code, answer.json()["broker"]) == (200, "down")


def test_a_silent_resolver_delays_no_probe(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CELERY_BROKER_URL = "amqp://mq.example.com//"
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments: is_over.wait(20) and [])
    try:
        answer = client.get("/health/ready/")
        assert (answer.status_code, answer.json()["broker"]) == (200, "down")
        assert not is_over.is_set()
        assert health._broker_thread._work_queue.empty()
    finally:
        is_over.set()


@pytest.mark.broker
def test_a_broker_that_answers_is_reported(client: Client, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://guest:guest@127.0.0.1:5672//"
    assert client.get("/health/ready/").json()["broker"] == "ok"


def enqueue() -> OutboxMail:
    return outbox.enqueue("already_registered", email="ana@example.com")


def test_late_emails_are_reported_and_the_process_is_ready(client: Client) -> None:
    email = enqueue()
    OutboxMail.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    answer = client.get("/health/ready/")
    assert (answer.status_code, answer.json()["outbox"]) == (200, "late")
    outbox.mark_sent(outbox.claim(email.pk) or email)
    assert client.get("/health/ready/").json()["outbox"] == "ok"


def test_the_metrics_show_the_outbox(client: Client) -> None:
    sent, _pending = enqueue(), enqueue()
    delivery.deliver(sent.pk)
    OutboxMail.objects.filter(state=State.PENDING).update(created_at=timezone.now() - timedelta(seconds=90))
    text = client.get("/metrics").content.decode()
    assert 'mails{state="owed"} 1.0' in text
    assert 'mails{state="sent"} 0.0' in text
    assert 'mails{state="cancelled"} 1.0' in text
    assert re.search(r"^mails_oldest_owed_seconds 9\d\.", text, re.MULTILINE)
    assert 'mail_tries_total{kind="already_registered",outcome="cancelled"}' in text


def test_requests_are_counted_by_route(client: Client) -> None:
    client.get("/api/v1/nowhere/anybody/")
    text = client.get("/metrics").content.decode()
    assert 'http_requests_total{method="GET",route="/^api/",status="404"}' in text
    assert "anybody" not in text


def test_an_unknown_method_gets_no_label_of_its_own(client: Client) -> None:
    client.generic("BREW", "/health/live/")
    text = client.get("/metrics").content.decode()
    assert 'method="other"' in text
    assert "BREW" not in text


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.0.2.7", {}),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}),
    ],
)
def test_other_ip_addresses_may_not_read_the_metrics(client: Client, address: str, headers: dict[str, str]) -> None:
    refused(client.get("/metrics", REMOTE_ADDR=address, headers=headers), 403, "permission_denied")


def test_a_network_may_be_allowed_and_a_trusted_proxy_names_the_client(client: Client, settings: Settings) -> None:
    settings.METRICS_ALLOWED = ["192.0.2.0/24"]
    settings.TRUSTED_PROXIES = 1
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 200
    refused(client.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7"}), 403, "permission_denied")


@pytest.mark.parametrize("host", ["10.42.0.7:8000", "10.42.0.7", "[fd00::7]:8000"])
def test_prometheus_reads_the_metrics_at_the_ip_address_of_a_pod(client: Client, settings: Settings, host: str) -> None:
    assert client.get("/metrics", headers={"Host": host}).status_code == 200
    settings.METRICS_ALLOWED = ["192.0.2.0/24"]
    refused(client.get("/metrics", headers={"Host": host}), 403, "permission_denied")


@pytest.mark.parametrize("host", ["evil.example.com", "10.42.0.7.example.com", "", "[::1", "10.42.0.7@evil"])
def test_the_metrics_are_not_served_under_an_unknown_host_name(client: Client, host: str) -> None:
    refused(client.get("/metrics", headers={"Host": host}), 400, "parse_error")
    refused(client.get("/api/v1/users/me/", headers={"Host": "10.42.0.7"}), 400, "parse_error")
