"""How tests speak with the API and read the mails that it owes."""

import re
from typing import Any

from django.apps import apps
from django.http import HttpResponse
from rest_framework.test import APIClient

from accounts.models import AuditEvent
from notifications import mails, outbox
from notifications.models import OutboxMail, State
from tests.conftest import PASSWORD

API = "/api/v1/"
SAME_ID = {"X-Request-ID": "same"}  # two answers to compare, which would differ in their ids


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(API + path, body, format="json", headers=SAME_ID)


def log_in(client: APIClient, email: str = "ana@example.com", password: str = PASSWORD) -> Any:
    return post(client, "auth/login/", email=email, password=password)


def may_log_in(email: str = "ana@example.com", password: str = PASSWORD) -> bool:
    return bool(log_in(APIClient(), email, password).status_code == 200)


def me(access: str) -> Any:
    return APIClient().get(f"{API}users/me/", headers={"Authorization": f"Bearer {access}"})


def whole(answer: HttpResponse) -> tuple[int, dict[str, str], bytes]:
    """All that a client can tell an answer by."""
    return answer.status_code, dict(answer.items()), answer.content


def owed() -> list[tuple[str, str]]:
    """The mails that are to be sent, each its kind and address, in the order in which they came to be owed."""
    return list(OutboxMail.objects.filter(state=State.OWED).order_by("pk").values_list("kind", "email"))


def mailed(kind: str) -> str:
    """The secret of the link in the newest owed mail of the kind, which is taken out of the outbox."""
    mail = outbox.claim(OutboxMail.objects.filter(kind=kind, state=State.OWED).latest("pk").pk)
    assert mail
    link = re.search(r"\?token=([\w-]{43})\s", mails.compose(mail).text)
    outbox.settle_sent(mail)
    assert link
    return link[1]


def events() -> list[str]:
    """The kinds of all audit events, oldest first."""
    return list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))


def everything() -> dict[str, list[dict[str, Any]]]:
    """All that is stored."""
    models = [*apps.get_app_config("accounts").get_models(), OutboxMail]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}  # type: ignore[attr-defined]


def facts() -> dict[str, list[dict[str, Any]]]:
    """All that is stored but for the traces that a refusal leaves: counters and the audit trail."""
    return {name: rows for name, rows in everything().items() if not name.startswith(("Audit", "RateBucket"))}


def is_stored(secret: str) -> bool:
    """Whether a secret stands anywhere in the database."""
    return secret in str(everything())
