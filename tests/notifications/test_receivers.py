"""The emails that each event of a user enqueues."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts import (
    email_change,
    email_verification,
    invitations,
    login,
    one_time_tokens,
    passwords,
    personal_data,
    registration,
    users,
)
from accounts.errors import InvalidToken
from accounts.limits.rates import Rate
from accounts.mfa import proofs
from accounts.models import User
from accounts.one_time_tokens import Purpose
from notifications import outbox
from notifications.models import OutboxMail, Queue, State
from notifications.sending import publisher
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import add_passkey, enrol


@pytest.fixture(autouse=True)
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The ids of dispatched emails."""
    ids: list[UUID] = []
    monkeypatch.setattr(publisher, "dispatch", lambda mail_id, queue: ids.append(mail_id))
    return ids


def pending() -> list[tuple[str, str]]:
    """Returns kind and address of each pending email, oldest first."""
    found = OutboxMail.objects.filter(state=State.PENDING).order_by("id")
    return list(found.values_list("kind", "email"))


def test_a_registration_sends_a_welcome(db: None) -> None:
    user = registration.register("Ana@example.com", PASSWORD, locale="es")
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == ("welcome", "Ana@example.com", user)


def test_an_email_is_dispatched_after_the_commit(
    ana: User, dispatched: list[UUID], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        passwords.request_reset(ana.email)
        assert dispatched == []
    assert dispatched == [OutboxMail.objects.get().pk]


def test_a_rollback_enqueues_no_email(ana: User, dispatched: list[UUID]) -> None:
    with transaction.atomic():
        passwords.request_reset(ana.email)
        transaction.set_rollback(True)
    assert pending() == []
    assert dispatched == []


def test_a_request_succeeds_although_its_email_cannot_be_dispatched(
    ana: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    def stumble(mail_id: UUID, queue: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(publisher, "dispatch", stumble)
    with django_capture_on_commit_callbacks(execute=True):
        passwords.request_reset(ana.email)
    assert pending() == [("password_reset", "ana@example.com")]


@pytest.mark.parametrize("address", ["ana@example.com", "nobody@example.com"])
@pytest.mark.parametrize(
    ("ask", "kind"), [(passwords.request_reset, "password_reset"), (email_verification.request, "verify_email")]
)
def test_a_requested_link_is_enqueued_alike_for_known_and_unknown_addresses(
    ana: User, ask: Callable[[str], None], kind: str, address: str
) -> None:
    ask(address)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == (kind, address, None)


def test_a_repeated_registration_sends_a_notice_to_the_owner(ana: User, settings: Settings) -> None:
    settings.EMAIL_VERIFICATION = "required"
    registration.register("ANA@example.com", PASSWORD)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == ("already_registered", "ANA@example.com", None)


def test_a_password_change_sends_a_notice_and_cancels_pending_links(ana: User) -> None:
    passwords.request_reset("ANA@example.com")
    passwords.change(ana, PASSWORD, OTHER_PASSWORD, keep=None)
    assert pending() == [("password_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="password_reset").state == State.CANCELLED


def test_a_requested_email_change_sends_an_email_to_both_addresses(ana: User) -> None:
    email_change.request(ana, "ana@new.example", PASSWORD)
    assert pending() == [("email_change", "ana@new.example"), ("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "requested"}


def test_a_requested_email_change_to_a_taken_address_is_enqueued_alike(ana: User, bruno: User) -> None:
    email_change.request(ana, bruno.email, PASSWORD)
    assert pending() == [("email_change", "bruno@example.com"), ("email_changed", "ana@example.com")]
    assert {mail.user for mail in OutboxMail.objects.select_related("user")} == {ana}


def test_an_email_change_sends_a_notice_to_the_old_address_and_cancels_its_links(ana: User) -> None:
    passwords.request_reset(ana.email)
    request = outbox.enqueue("email_change", user=ana, email="ana@new.example")
    email_change.confirm(one_time_tokens.issue(ana, Purpose.EMAIL_CHANGE, request=request.pk, email=request.email))
    assert pending() == [("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "confirmed"}


def test_a_new_second_factor_cancels_a_change_of_address_and_ends_its_link(ana: User) -> None:
    """A thief with the password may have requested it before."""
    request = outbox.enqueue("email_change", user=ana, email="thief@evil.example")
    token = one_time_tokens.issue(ana, Purpose.EMAIL_CHANGE, request=request.pk, email=request.email)
    email_change.request(ana, "ana@evil.example", PASSWORD)
    reset = one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=request.pk, email=ana.email)
    enrol(ana)
    assert ("email_change", "ana@evil.example") not in pending()
    changes = OutboxMail.objects.filter(kind="email_change")
    assert set(changes.values_list("state", "last_error")) == {
        (State.CANCELLED, "The address was confirmed or a second factor added in the meantime.")
    }
    with pytest.raises(InvalidToken):
        email_change.confirm(token)
    with pytest.raises(one_time_tokens.Superseded):  # an attempt to send it that has begun already
        one_time_tokens.issue(ana, Purpose.EMAIL_CHANGE, request=request.pk, email=request.email)
    assert one_time_tokens.find(reset, Purpose.PASSWORD_RESET).user == ana
    add_passkey(ana)
    email_change.request(ana, "ana@new.example", PASSWORD)
    assert ("email_change", "ana@new.example") in pending()


def test_an_address_changed_by_an_admin_must_be_confirmed(ana: User) -> None:
    users.update(ana, actor=None, email="ana@new.example")
    assert pending() == [("email_changed", "ana@example.com"), ("verify_email", "ana@new.example")]


def test_a_user_without_a_password_gets_an_invitation_and_another_on_request(db: None) -> None:
    dora = users.create("dora@example.com", actor=None)
    invitations.invite(dora, actor=None)
    assert pending() == [("invitation", "dora@example.com")] * 2


def test_an_invitation_is_sent_as_bulk(ana: User) -> None:
    users.create("dora@example.com", actor=None)
    passwords.request_reset(ana.email)
    queues = dict(OutboxMail.objects.values_list("kind", "queue"))
    assert queues == {"invitation": Queue.BULK, "password_reset": Queue.NOW}


def test_an_unconfirmed_account_does_not_flood_the_mailbox_of_its_address(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, Rate(2, timedelta(hours=1))
    stranger = registration.register("ana@example.com", PASSWORD)
    assert isinstance(stranger, User)
    for old, new in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)]:
        passwords.change(stranger, old, new, keep=None)
    assert list(OutboxMail.objects.values_list("kind", flat=True)) == ["welcome", "password_changed"]
    passwords.request_reset("ana@example.com")
    assert pending()[-1] == ("password_reset", "ana@example.com"), "her own requests are counted apart"


def test_a_user_with_a_confirmed_address_gets_every_notice(ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, Rate(1, timedelta(hours=1))
    for old, new in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)]:
        passwords.change(ana, old, new, keep=None)
    assert pending() == [("password_changed", ana.email)] * 2


def test_a_login_from_a_new_ip_address_sends_a_notice_if_enabled(ana: User, settings: Settings) -> None:
    login.open_session(ana, proofs.PASSWORD)
    assert pending() == []
    settings.NEW_LOGIN_MAIL = True
    login.open_session(ana, proofs.PASSWORD)
    assert pending() == [], "she got in from there before"
    ana.sessions.update(ip="192.0.2.1")
    login.open_session(ana, proofs.PASSWORD)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.user, set(mail.data)) == ("new_login", ana, {"at", "ip"})


def test_a_suspension_cancels_pending_links_and_no_notices(ana: User) -> None:
    passwords.request_reset(ana.email)
    outbox.enqueue("welcome", user=ana, email=ana.email)
    outbox.enqueue("password_changed", user=ana, email=ana.email)
    users.suspend(ana, actor=None)
    assert pending() == [("password_changed", "ana@example.com")]


def test_deleting_a_user_deletes_their_emails(ana: User, bruno: User) -> None:
    passwords.request_reset("ANA@example.com")
    outbox.enqueue("email_changed", user=ana, email="ana@old.example")
    outbox.enqueue("password_changed", user=bruno, email=bruno.email)
    users.delete(ana, actor=None)
    assert pending() == [("password_changed", "bruno@example.com")]


def test_an_export_has_the_users_emails(ana: User, bruno: User) -> None:
    passwords.request_reset(ana.email)
    outbox.enqueue("password_changed", user=bruno, email=bruno.email)
    ((mail,),) = personal_data.export(ana).from_other_apps["mails"]
    assert (mail["kind"], mail["email"], mail["state"]) == ("password_reset", "ana@example.com", "owed")
