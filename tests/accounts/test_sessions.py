"""Each refresh token works once, and the use of a copied one ends the session."""

import base64
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts import login, request_context, sessions
from accounts.errors import TokenNotValid
from accounts.mfa import proofs
from accounts.models import AuditEvent, Session, User

SECOND = timedelta(seconds=1)


def kinds() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))


def let_pass(session: Session, seconds: float) -> None:
    """Moves the session's exchanges of refresh tokens further into the past."""
    row = Session.objects.get(pk=session.pk)
    row.rotations = [moment - seconds for moment in row.rotations]
    row.save(update_fields=["rotations"])


def is_active(session: Session) -> bool:
    return Session.objects.active().filter(pk=session.pk).exists()


def assert_rejected(refresh: str) -> None:
    before = list(Session.objects.values())
    with pytest.raises(TokenNotValid):
        sessions.rotate(refresh)
    assert list(Session.objects.values()) == before


def test_begins_with_its_request_context_and_its_expiry(ana: User, settings: Settings) -> None:
    settings.SESSION_LIFETIME, settings.SESSION_IDLE_LIFETIME = timedelta(days=3), timedelta(hours=5)
    token = request_context.current.set(request_context.RequestContext("192.0.2.7", "curl/8", "abc"))
    try:
        session, _refresh = sessions.create(ana, proofs.PASSWORD)
    finally:
        request_context.current.reset(token)
    assert (session.ip, session.user_agent, session.generation) == ("192.0.2.7", "curl/8", 0)
    assert session.expires_at - session.created_at == timedelta(days=3)
    assert session.idle_expires_at - session.created_at == timedelta(hours=5)
    assert session.ends_at == session.idle_expires_at
    assert kinds() == ["session:opened"]
    event = AuditEvent.objects.get()
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, ana.pk, {"session": str(session.pk)})


def test_may_be_given_a_lifetime_of_its_own(ana: User) -> None:
    session, _refresh = sessions.create(ana, proofs.PASSWORD, lifetime=timedelta(hours=1))
    assert session.expires_at - session.created_at == timedelta(hours=1)


def test_a_login_records_the_time(ana: User) -> None:
    before = timezone.now()
    login.open_session(ana, proofs.PASSWORD)
    ana.refresh_from_db()
    assert ana.last_login_at
    assert before <= ana.last_login_at <= timezone.now()


def test_a_refresh_token_is_exchanged_for_another(ana: User) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    same, second = sessions.rotate(first)
    assert (same.pk, same.user) == (session.pk, ana)
    assert second != first
    assert sessions.rotate(second)[1] not in {first, second}
    assert Session.objects.get().generation == 2


def test_the_database_holds_nothing_that_could_be_used(ana: User) -> None:
    _session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    for secret in (first, second, first.rstrip("="), base64.urlsafe_b64decode(first + "=").hex()[-64:]):
        assert secret not in str(list(Session.objects.values()))


def test_a_client_that_asks_twice_within_the_grace_period_gets_the_same_successor(
    ana: User, settings: Settings
) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    let_pass(session, settings.REFRESH_GRACE.total_seconds() - 1)
    assert sessions.rotate(first)[1] == second
    assert sessions.rotate(first)[1] == second
    assert Session.objects.get().generation == 1
    assert sessions.rotate(second)[1] != second


def test_a_repeated_refresh_token_asks_the_database_once(
    ana: User, django_assert_num_queries: Callable[[int], Any]
) -> None:
    _session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    with django_assert_num_queries(1):
        assert sessions.rotate(first)[1] == second


def test_each_of_several_exchanges_has_its_own_grace_period(ana: User) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    let_pass(session, 8)
    _session, third = sessions.rotate(second)
    assert sessions.rotate(first)[1] == second
    let_pass(session, 3)
    assert sessions.rotate(second)[1] == third
    with pytest.raises(TokenNotValid):
        sessions.rotate(first)
    assert not is_active(session)


def test_an_old_refresh_token_ends_the_session_it_belongs_to_and_no_other(ana: User, settings: Settings) -> None:
    other, other_refresh = sessions.create(ana, proofs.PASSWORD)
    session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    let_pass(session, settings.REFRESH_GRACE.total_seconds() + 0.1)
    with pytest.raises(TokenNotValid):
        sessions.rotate(first)
    assert not is_active(session)
    assert_rejected(second)
    assert_rejected(first)
    assert is_active(other)
    assert sessions.rotate(other_refresh)
    assert kinds()[-1] == "session:reuse_detected"
    event = AuditEvent.objects.get(kind="session:reuse_detected")
    assert (event.user_id, event.actor_id, event.data) == (ana.pk, None, {"session": str(session.pk)})


def test_without_a_grace_period_the_second_use_ends_the_session(ana: User, settings: Settings) -> None:
    settings.REFRESH_GRACE = timedelta()
    session, first = sessions.create(ana, proofs.PASSWORD)
    sessions.rotate(first)
    with pytest.raises(TokenNotValid):
        sessions.rotate(first)
    assert not is_active(session)


def test_no_more_than_a_hundred_exchanges_are_within_grace_at_once(ana: User) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    many = sessions.MAX_STORED_ROTATIONS
    Session.objects.update(generation=many, rotations=[time.time()] * many)
    assert sessions.find_by_refresh_token(first) == session
    sessions.rotate(forged(session_id=session.pk, generation=many))
    assert len(Session.objects.get().rotations) == many
    with pytest.raises(TokenNotValid):
        sessions.rotate(first)
    assert not is_active(session)


def test_refreshing_keeps_a_session_from_ending_as_idle_but_never_prolongs_it(ana: User, settings: Settings) -> None:
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    soon = timezone.now() + SECOND * 30
    Session.objects.update(idle_expires_at=soon, last_used_at=soon - timedelta(days=1))
    sessions.rotate(refresh)
    after = Session.objects.get()
    assert after.expires_at == session.expires_at
    assert after.idle_expires_at > soon
    assert after.idle_expires_at - after.last_used_at == settings.SESSION_IDLE_LIFETIME


@pytest.mark.parametrize("limit", ["expires_at", "idle_expires_at"])
def test_a_session_that_has_expired_cannot_be_refreshed_back_to_life(ana: User, limit: str) -> None:
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    Session.objects.update(**{limit: timezone.now() - SECOND / 10})
    assert_rejected(refresh)
    assert not Session.objects.get().is_active
    with pytest.raises(TokenNotValid):
        sessions.find(session.pk, ana.pk)


def test_repeating_an_exchange_does_not_count_as_use(ana: User) -> None:
    _session, first = sessions.create(ana, proofs.PASSWORD)
    sessions.rotate(first)
    before = Session.objects.values().get()
    sessions.rotate(first)
    assert Session.objects.values().get() == before


def test_a_suspended_user_cannot_refresh(ana: User) -> None:
    _session, refresh = sessions.create(ana, proofs.PASSWORD)
    User.objects.update(is_active=False)
    assert_rejected(refresh)


def test_a_deleted_user_cannot_refresh(ana: User) -> None:
    _session, refresh = sessions.create(ana, proofs.PASSWORD)
    ana.delete()
    assert_rejected(refresh)


def forged(version: int = 1, session_id: uuid.UUID | None = None, generation: int = 0, mac: bytes | None = None) -> str:
    named = bytes([version]) + (session_id or uuid.uuid4()).bytes + generation.to_bytes(4, "big")
    token = named + (sessions._mac(named) if mac is None else mac)
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def test_a_refresh_token_cannot_be_forged(ana: User) -> None:
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    assert forged(session_id=session.pk) == refresh
    assert_rejected(forged())
    assert_rejected(forged(session_id=session.pk, mac=bytes(32)))
    assert_rejected(forged(session_id=session.pk, mac=b""))
    assert_rejected(forged(session_id=session.pk, version=2))
    assert_rejected(forged(session_id=session.pk, generation=1))
    assert_rejected(forged(session_id=session.pk, generation=2**32 - 1))
    assert_rejected(refresh[:-4])
    assert_rejected(refresh + "AAAA")
    assert_rejected(refresh[4:])
    for place in range(0, len(refresh), 7):
        swapped = "A" if refresh[place] != "A" else "B"
        assert_rejected(refresh[:place] + swapped + refresh[place + 1 :])


def test_a_refresh_token_has_one_spelling(ana: User) -> None:
    """The last character has unused bits, and some decoders ignore padding and accept other alphabets."""
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(refresh[-1])
    assert last % 4 == 0
    for spare in (1, 2, 3):
        assert_rejected(refresh[:-1] + alphabet[last + spare])
    for other in (refresh + "=", refresh + "==", refresh.replace("-", "+").replace("_", "/"), f" {refresh}"):
        if other != refresh:
            assert_rejected(other)
    assert sessions.find_by_refresh_token(refresh) == session


def test_a_refresh_token_of_another_installation_is_rejected(ana: User, settings: Settings) -> None:
    _session, refresh = sessions.create(ana, proofs.PASSWORD)
    settings.SECRET_KEY = "another-" * 10
    assert_rejected(refresh)


@pytest.mark.parametrize("text", ["", "=", "A", "A" * 71, "é" * 71, "\ud800", "a b", "A" * 5000, "ey.ey.sig", "\0"])
def test_text_that_is_no_refresh_token_is_rejected(db: None, text: str) -> None:
    with pytest.raises(TokenNotValid):
        sessions.rotate(text)


def test_reading_a_token_uses_nothing_up(ana: User) -> None:
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    before = Session.objects.values().get()
    assert sessions.find_by_refresh_token(refresh) == session
    assert Session.objects.values().get() == before


def test_a_used_token_counts_as_valid_within_its_grace_period(ana: User) -> None:
    session, first = sessions.create(ana, proofs.PASSWORD)
    _session, second = sessions.rotate(first)
    assert sessions.find_by_refresh_token(first) == sessions.find_by_refresh_token(second) == session
    let_pass(session, 11)
    assert sessions.find_by_refresh_token(second) == session
    with pytest.raises(TokenNotValid):
        sessions.find_by_refresh_token(first)
    assert is_active(session)
