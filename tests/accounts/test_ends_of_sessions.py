"""Sessions end, show for 30 days which networks their user logged in from, and are then deleted."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts import sessions
from accounts.mfa import proofs
from accounts.models import Session, User
from tests.accounts.test_sessions import SECOND, is_active, kinds, let_pass


def test_the_fifty_first_session_ends_the_one_that_was_used_least_recently(ana: User, bruno: User) -> None:
    foreign, _refresh = sessions.create(bruno, proofs.PASSWORD)
    now = timezone.now()
    rows = [
        Session(
            user=ana,
            created_at=now - SECOND * (1000 + age),
            last_used_at=now - SECOND * (500 - age),
            expires_at=now + SECOND * 1000,
            idle_expires_at=now + SECOND * 1000,
        )
        for age in range(sessions.MAX_SESSIONS_PER_USER)
    ]
    Session.objects.bulk_create(rows)
    newest, _refresh = sessions.create(ana, proofs.PASSWORD)
    assert Session.objects.active().filter(user=ana).count() == 50
    assert is_active(newest)
    assert not is_active(rows[0])
    assert is_active(rows[1])
    assert is_active(foreign)


def test_closing_a_session_ends_it_once(ana: User, bruno: User) -> None:
    session, _refresh = sessions.create(ana, proofs.PASSWORD)
    other, _refresh = sessions.create(ana, proofs.PASSWORD)
    sessions.close(session, actor=ana)
    sessions.close(session, actor=bruno)
    sessions.close(other, actor=bruno)
    assert kinds()[2:] == ["session:closed", "session:revoked"]
    assert not Session.objects.active().exists()


def test_ending_all_spares_the_one_to_keep_and_other_users(ana: User, bruno: User) -> None:
    kept, gone, foreign = (sessions.create(user, proofs.PASSWORD)[0] for user in (ana, ana, bruno))
    assert sessions.revoke_all(ana, actor=ana, keep=kept) == 1
    assert [is_active(one) for one in (kept, gone, foreign)] == [True, False, True]
    assert sessions.revoke_all(ana, actor=ana) == 1
    assert sessions.revoke_all(ana, actor=ana) == 0
    assert kinds()[3:] == ["session:all_revoked"] * 2


def test_the_panel_s_session_stays_while_it_is_used(ana: User, settings: Settings) -> None:
    session, _refresh = sessions.create(ana, proofs.PASSWORD)
    Session.objects.update(last_used_at=timezone.now() - SECOND * 61, idle_expires_at=timezone.now() + SECOND)
    session.refresh_from_db()
    sessions.record_use(session)
    assert Session.objects.get().idle_expires_at > timezone.now() + settings.SESSION_IDLE_LIFETIME - SECOND * 5
    before = Session.objects.values().get()
    session.refresh_from_db()
    sessions.record_use(session)
    assert Session.objects.values().get() == before


def test_the_panel_s_session_does_not_come_back_to_life(ana: User) -> None:
    session, _refresh = sessions.create(ana, proofs.PASSWORD)
    past = timezone.now() - SECOND
    Session.objects.update(last_used_at=past - SECOND * 90, idle_expires_at=past)
    session.refresh_from_db()
    sessions.record_use(session)
    assert Session.objects.get().idle_expires_at == past


def test_an_ip_address_is_known_for_thirty_days_after_a_login(ana: User, bruno: User) -> None:
    Session.objects.bulk_create(
        Session(user=ana, ip=ip, created_at=timezone.now() - age, expires_at=timezone.now(), idle_expires_at=age_end)
        for ip, age, age_end in (
            ("192.0.2.1", timedelta(days=29), timezone.now()),
            ("192.0.2.2", timedelta(days=31), timezone.now()),
        )
    )
    assert sessions.has_recent_login_from(ana.pk, "192.0.2.1")
    assert not sessions.has_recent_login_from(ana.pk, "192.0.2.2")
    assert not sessions.has_recent_login_from(bruno.pk, "192.0.2.1")
    assert not sessions.has_recent_login_from(ana.pk, "192.0.2.3")


@pytest.mark.parametrize(
    ("before", "now", "is_known"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:9:9:9:9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_network_that_counts_as_one_client_is_known_as_one(ana: User, before: str, now: str, is_known: bool) -> None:
    ana.sessions.create(ip=before, expires_at=timezone.now(), idle_expires_at=timezone.now())
    assert sessions.has_recent_login_from(ana.pk, now) is is_known


def test_pruning_deletes_sessions_that_ended_more_than_thirty_days_ago(ana: User) -> None:
    fresh, old = timezone.now() - timedelta(days=29), timezone.now() - timedelta(days=31)
    later = timezone.now() + timedelta(days=1)
    ends = [
        {"expires_at": later, "idle_expires_at": later},
        {"expires_at": fresh, "idle_expires_at": fresh},
        {"expires_at": later, "idle_expires_at": later, "revoked_at": fresh},
        {"expires_at": old, "idle_expires_at": later},
        {"expires_at": later, "idle_expires_at": old},
        {"expires_at": later, "idle_expires_at": later, "revoked_at": old},
    ]
    rows = Session.objects.bulk_create(Session(user=ana, **one) for one in ends)
    assert sessions.prune() == 3
    assert set(Session.objects.all()) == set(rows[:3])


def test_an_exchange_is_removed_after_its_grace_period(ana: User) -> None:
    session, refresh = sessions.create(ana, proofs.PASSWORD)
    for _number in range(3):
        _session, refresh = sessions.rotate(refresh)
    let_pass(session, 11)
    sessions.rotate(refresh)
    (only,) = Session.objects.get().rotations
    assert time.time() - only < 5
