"""A repeated change makes one audit event: only one with the same values counts as the same."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import audit, request_context
from accounts.audit.log import SAME_CHANGE
from accounts.models import AuditEvent, Role, User
from accounts.request_context import RequestContext


def user(number: int) -> User:
    return User.objects.create(email=f"user{number}@example.com", role=Role.objects.get_or_create(name="role")[0])


def record(ana: User, actor: User | None, ip: str | None, kind: str = "user:changed", **data: Any) -> int:
    """Records an event once, and returns the number of events."""
    context = request_context.current.set(RequestContext(ip=ip))
    try:
        audit.record_once(kind, ana, actor=actor, **data)
    finally:
        request_context.current.reset(context)
    return AuditEvent.objects.count()


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize("ip", [None, "203.0.113.7", "2001:DB8::7"])
def test_another_user_actor_ip_kind_or_data_makes_another_event(database: str, ip: str | None, is_own: bool) -> None:
    ana, bob = user(1), user(2)
    actor, fields = ana if is_own else None, ["locale", "ñ"]
    assert record(ana, actor, ip, fields=fields) == 1
    assert record(ana, actor, ip, fields=fields) == 1
    assert record(ana, bob, ip, fields=fields) == 2
    assert record(bob, actor, ip, fields=fields) == 3
    assert record(ana, actor, "203.0.113.8", fields=fields) == 4
    assert record(ana, actor, ip, fields=["locale"]) == 5
    assert record(ana, actor, ip, "email:changed", fields=fields) == 6
    assert record(ana, actor, ip, fields=fields) == 6


def test_an_older_event_does_not_count(ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert record(ana, ana, None) == 1
    later = timezone.now() + SAME_CHANGE + timedelta(seconds=1)
    monkeypatch.setattr("accounts.audit.log.timezone.now", lambda: later)
    assert record(ana, ana, None) == 2
