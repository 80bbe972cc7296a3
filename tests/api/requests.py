"""Sends requests to the API, and reads the emails, events and rows that they produced."""

import re
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpResponse
from rest_framework.test import APIClient

from accounts.models import AuditEvent, User
from notifications import outbox
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from tests.conftest import PASSWORD

API = "/api/v1/"
SAME_ID = {"X-Request-ID": "same"}  # makes two responses comparable, which would differ in their ids


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(API + path, body, format="json", headers=SAME_ID)


def log_in(client: APIClient, email: str = "ana@example.com", password: str = PASSWORD) -> Any:
    return post(client, "auth/login/", email=email, password=password)


def may_log_in(email: str = "ana@example.com", password: str = PASSWORD) -> bool:
    return bool(log_in(APIClient(), email, password).status_code == 200)


def me(access: str) -> Any:
    return APIClient().get(f"{API}users/me/", headers={"Authorization": f"Bearer {access}"})


def factors_of(user: User) -> str:
    """Returns the path of the user's second factors."""
    return f"{API}users/{user.pk}/factors/"


def at_location(client: APIClient, answer: Any) -> Any:
    """Returns the row that a response says it has created."""
    assert answer["Location"].startswith(f"{settings.PUBLIC_URL}{API}")
    return client.get(answer["Location"]).json()


def full_response(answer: HttpResponse) -> tuple[int, dict[str, str], bytes]:
    """Returns all parts of a response that a client can compare."""
    return answer.status_code, dict(answer.items()), answer.content


def pending_emails() -> list[tuple[str, str]]:
    """Returns kind and address of each pending email, oldest first."""
    return list(OutboxMail.objects.filter(state=State.PENDING).order_by("pk").values_list("kind", "email"))


def receive_token(kind: str) -> str:
    """Marks the newest pending email of the kind as sent, and returns the one-time token of its link."""
    mail = outbox.claim(OutboxMail.objects.filter(kind=kind, state=State.PENDING).latest("pk").pk)
    assert mail
    link = re.search(r"\?token=([\w-]{43})\s", delivery.compose_with_token(mail).text)
    outbox.mark_sent(mail)
    assert link
    return link[1]


def events() -> list[str]:
    """Returns the kinds of all audit events, oldest first."""
    return list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Returns all rows of all models."""
    models = [*apps.get_app_config("accounts").get_models(), OutboxMail]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}  # type: ignore[attr-defined]


def rows_without_traces() -> dict[str, list[dict[str, Any]]]:
    """Returns all rows except audit events and counters, which a rejected request may add."""
    return {name: rows for name, rows in all_rows().items() if not name.startswith(("Audit", "RateBucket"))}


def is_stored(secret: str) -> bool:
    """Returns whether a secret is anywhere in the database."""
    return secret in str(all_rows())
