"""Logs contain no password, token or emailed link, at any level."""

import logging
import logging.config
import re
from collections.abc import Iterator
from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core import mail
from pytest_django import Settings
from rest_framework.test import APIClient

from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.conftest import OTHER_PASSWORD, PASSWORD


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Captures all logs of the product at LOG_LEVEL=debug."""
    written = StringIO()
    chatty: dict[str, Any] = deepcopy(django_settings.LOGGING)
    chatty["handlers"]["stderr"] |= {"stream": written}
    chatty["root"]["level"] = chatty["loggers"]["django"]["level"] = "DEBUG"
    chatty["loggers"]["celery"] = chatty["loggers"]["kombu"] = {"level": "DEBUG"}
    before = logging.root.handlers[:]
    logging.config.dictConfig(chatty)
    yield written
    logging.config.dictConfig(django_settings.LOGGING)
    logging.root.handlers[:] = before


@pytest.mark.django_db(transaction=True)
def test_the_requests_of_a_user_leave_no_secret_in_the_log(log: StringIO, settings: Settings) -> None:
    settings.DEBUG = True  # Django then logs SQL statements
    client = APIClient()
    ask(client, "register/", email="ana@example.com", password=PASSWORD, full_name="Ana")
    ask(client, "login/", email="ana@example.com", password="wrong " + PASSWORD)
    tokens = ask(client, "login/", email="ana@example.com", password=PASSWORD).json()
    newer = ask(client, "token/refresh/", refresh=tokens["refresh"]).json()
    ask(client, "token/verify/", token=newer["access"])
    ask(client, "token/verify/", token="x." + newer["access"])
    ask(client, "password/reset/", email="ana@example.com")
    for pending in OutboxMail.objects.all():
        delivery.deliver(pending.pk)
    secrets = [link for one in mail.outbox for link in re.findall(r"token=([\w-]+)", str(one.body))]
    assert ask(client, "password/reset/confirm/", token=secrets[-1], new_password=OTHER_PASSWORD).status_code == 204
    client.get("/reset-password", {"token": secrets[-1]})
    client.get("/api/v1/users/me/", HTTP_AUTHORIZATION=f"Bearer {newer['access']}")
    logged = log.getvalue()
    assert "session:opened" in logged
    for secret in (PASSWORD, OTHER_PASSWORD, *secrets, *(one[name] for one in (tokens, newer) for name in TOKENS)):
        assert secret not in logged
    assert "bcrypt_sha256$" not in logged
    assert "ana@example.com" not in logged


TOKENS = ("access", "refresh")


def ask(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"/api/v1/auth/{path}", body, format="json")
