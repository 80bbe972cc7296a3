"""What a load balancer and Prometheus learn."""

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

from notifications import delivery, outbox
from notifications.models import OutboxMail, State
from tests.conftest import refused
from usermanager import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    health._require_migrations.cache_clear()
    health._broker_in.cache_clear()


def test_a_process_that_answers_lives(client: Client) -> None:
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


def test_without_a_database_it_lives_but_is_not_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "database", lambda: "down")
    document = refused(client.get("/health/ready/"), 503, "not_ready")
    assert document["database"] == "down"
    assert document["detail"] == "database"
    assert client.get("/health/live/").status_code == 200


def test_a_broker_that_is_down_is_reported_and_decides_nothing(client: Client, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://guest:guest@127.0.0.1:1//"
    answer = client.get("/health/ready/")
    assert answer.status_code == 200
    assert answer.json()["broker"] == "down"


@pytest.mark.parametrize("fault", [socket.gaierror("no such name"), struct.error("half a frame")])
def test_whatever_is_wrong_with_a_broker_it_is_down(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def getaddrinfo(*_arguments: object) -> None:
        raise fault

    settings.CELERY_BROKER_URL = "amqp://mq.example.com//"
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    answer = client.get("/health/ready/")
    assert (answer.status_code, answer.json()["broker"]) == (200, "down")


def test_a_resolver_that_is_silent_holds_up_no_probe(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CELERY_BROKER_URL = "amqp://mq.example.com//"
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments: is_over.wait(20) and [])
    try:
        answer = client.get("/health/ready/")
        assert (answer.status_code, answer.json()["broker"]) == (200, "down")
        assert not is_over.is_set()
        assert health._thread._work_queue.empty()
    finally:
        is_over.set()


@pytest.mark.broker
def test_a_broker_that_answers_is_reported(client: Client, settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://guest:guest@127.0.0.1:5672//"
    assert client.get("/health/ready/").json()["broker"] == "ok"


def owe() -> OutboxMail:
    return outbox.put("already_registered", email="ana@example.com")


def test_mails_that_are_late_are_named_and_decide_nothing(client: Client) -> None:
    mail = owe()
    OutboxMail.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    answer = client.get("/health/ready/")
    assert (answer.status_code, answer.json()["outbox"]) == (200, "late")
    outbox.settle_sent(outbox.claim(mail.pk) or mail)
    assert client.get("/health/ready/").json()["outbox"] == "ok"


def test_the_outbox_is_shown_as_it_is(client: Client) -> None:
    sent, _owed = owe(), owe()
    delivery.deliver(sent.pk)
    OutboxMail.objects.filter(state=State.OWED).update(created_at=timezone.now() - timedelta(seconds=90))
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


def test_an_unheard_of_method_gets_no_label_of_its_own(client: Client) -> None:
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
def test_other_addresses_do_not_see_the_counts(client: Client, address: str, headers: dict[str, str]) -> None:
    refused(client.get("/metrics", REMOTE_ADDR=address, headers=headers), 403, "permission_denied")


def test_a_network_may_be_allowed_and_a_counted_proxy_is_believed(client: Client, settings: Settings) -> None:
    settings.METRICS_ALLOWED = ["192.0.2.0/24"]
    settings.TRUSTED_PROXIES = 1
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 200
    refused(client.get("/metrics", headers={"X-Forwarded-For": "198.51.100.7"}), 403, "permission_denied")


@pytest.mark.parametrize("host", ["10.42.0.7:8000", "10.42.0.7", "[fd00::7]:8000"])
def test_prometheus_reads_the_metrics_of_a_pod_by_its_address(client: Client, settings: Settings, host: str) -> None:
    assert client.get("/metrics", headers={"Host": host}).status_code == 200
    settings.METRICS_ALLOWED = ["192.0.2.0/24"]
    refused(client.get("/metrics", headers={"Host": host}), 403, "permission_denied")


@pytest.mark.parametrize("host", ["evil.example.com", "10.42.0.7.example.com", "", "[::1", "10.42.0.7@evil"])
def test_the_metrics_are_not_read_under_a_name_that_is_not_ours(client: Client, host: str) -> None:
    refused(client.get("/metrics", headers={"Host": host}), 400, "parse_error")
    refused(client.get("/api/v1/users/me/", headers={"Host": "10.42.0.7"}), 400, "parse_error")
