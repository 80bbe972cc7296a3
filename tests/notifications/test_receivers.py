"""What happens to a user, and which mails they are owed for it."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts import addresses_change, invitations, login, passwords, personal_data, registration, tokens, users
from accounts.models import User
from accounts.tokens import Purpose
from notifications import outbox, publisher
from notifications.models import OutboxMail, Queue, State
from tests.conftest import OTHER_PASSWORD, PASSWORD
from usermanager.environment import Rate


@pytest.fixture(autouse=True)
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """What was put on its way."""
    ids: list[UUID] = []
    monkeypatch.setattr(publisher, "dispatch", lambda mail_id, queue: ids.append(mail_id))
    return ids


def owed() -> list[tuple[str, str]]:
    """Kind and address of each mail that is owed, oldest first."""
    found = OutboxMail.objects.filter(state=State.OWED).order_by("id")
    return list(found.values_list("kind", "email"))


def test_who_registers_is_welcomed(db: None) -> None:
    user = registration.register("Ana@example.com", PASSWORD, locale="es")
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == ("welcome", "Ana@example.com", user)


def test_a_mail_is_put_on_its_way_when_its_cause_is_committed_and_not_before(
    ana: User, dispatched: list[UUID], django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        passwords.request_reset(ana.email)
        assert dispatched == []
    assert dispatched == [OutboxMail.objects.get().pk]


def test_what_is_rolled_back_owes_nothing(ana: User, dispatched: list[UUID]) -> None:
    with transaction.atomic():
        passwords.request_reset(ana.email)
        transaction.set_rollback(True)
    assert owed() == []
    assert dispatched == []


def test_a_mail_that_cannot_be_put_on_its_way_harms_no_request(
    ana: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    def stumble(mail_id: UUID, queue: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(publisher, "dispatch", stumble)
    with django_capture_on_commit_callbacks(execute=True):
        passwords.request_reset(ana.email)
    assert owed() == [("password_reset", "ana@example.com")]


@pytest.mark.parametrize("address", ["ana@example.com", "nobody@example.com"])
@pytest.mark.parametrize(
    ("ask", "kind"), [(passwords.request_reset, "password_reset"), (registration.request_verification, "verify_email")]
)
def test_asking_for_a_link_does_the_same_whether_the_address_is_known(
    ana: User, ask: Callable[[str], None], kind: str, address: str
) -> None:
    ask(address)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == (kind, address, None)


def test_the_owner_of_an_address_is_told_that_it_was_registered_again(ana: User, settings: Settings) -> None:
    settings.EMAIL_VERIFICATION = "required"
    registration.register("ANA@example.com", PASSWORD)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.email, mail.user) == ("already_registered", "ANA@example.com", None)


def test_a_change_of_password_is_told_and_ends_what_is_still_owed(ana: User) -> None:
    passwords.request_reset("ANA@example.com")
    passwords.change(ana, PASSWORD, OTHER_PASSWORD, keep=None)
    assert owed() == [("password_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="password_reset").state == State.CANCELLED


def test_moving_to_another_address_tells_both(ana: User) -> None:
    addresses_change.request(ana, "ana@new.example", PASSWORD)
    assert owed() == [("email_change", "ana@new.example"), ("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "requested"}


def test_moving_to_an_address_that_is_taken_is_written_down_like_any_other(ana: User, bruno: User) -> None:
    addresses_change.request(ana, bruno.email, PASSWORD)
    assert owed() == [("email_change", "bruno@example.com"), ("email_changed", "ana@example.com")]
    assert {mail.user for mail in OutboxMail.objects.select_related("user")} == {ana}


def test_having_moved_is_told_to_the_old_address_and_ends_its_links(ana: User) -> None:
    passwords.request_reset(ana.email)
    request = outbox.put("email_change", user=ana, email="ana@new.example")
    addresses_change.confirm(tokens.issue(ana, Purpose.EMAIL_CHANGE, request=request.pk, email=request.email))
    assert owed() == [("email_changed", "ana@example.com")]
    assert OutboxMail.objects.get(kind="email_changed").data == {"stage": "confirmed"}


def test_an_address_that_an_admin_changed_is_to_be_confirmed(ana: User) -> None:
    users.update(ana, actor=None, email="ana@new.example")
    assert owed() == [("email_changed", "ana@example.com"), ("verify_email", "ana@new.example")]


def test_who_is_made_without_a_password_is_invited_and_again_on_request(db: None) -> None:
    dora = users.create("dora@example.com", actor=None)
    invitations.invite(dora, actor=None)
    assert owed() == [("invitation", "dora@example.com")] * 2


def test_an_invitation_goes_behind_what_somebody_waits_for(ana: User) -> None:
    users.create("dora@example.com", actor=None)
    passwords.request_reset(ana.email)
    queues = dict(OutboxMail.objects.values_list("kind", "queue"))
    assert queues == {"invitation": Queue.BULK, "password_reset": Queue.NOW}


def test_what_a_stranger_does_with_somebodys_address_does_not_flood_the_mailbox(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, Rate(2, timedelta(hours=1))
    stranger = registration.register("ana@example.com", PASSWORD)
    assert stranger
    for old, new in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)]:
        passwords.change(stranger, old, new, keep=None)
    assert list(OutboxMail.objects.values_list("kind", flat=True)) == ["welcome", "password_changed"]
    passwords.request_reset("ana@example.com")
    assert owed()[-1] == ("password_reset", "ana@example.com"), "her own requests are counted apart"


def test_whoever_confirmed_an_address_is_told_everything(ana: User, settings: Settings) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, Rate(1, timedelta(hours=1))
    for old, new in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)]:
        passwords.change(ana, old, new, keep=None)
    assert owed() == [("password_changed", ana.email)] * 2


def test_a_sign_in_from_a_new_place_is_told_if_that_is_wanted(ana: User, settings: Settings) -> None:
    login.open_session(ana)
    assert owed() == []
    settings.NEW_LOGIN_MAIL = True
    login.open_session(ana)
    assert owed() == [], "she got in from there before"
    ana.sessions.update(ip="192.0.2.1")
    login.open_session(ana)
    mail = OutboxMail.objects.get()
    assert (mail.kind, mail.user, set(mail.data)) == ("new_login", ana, {"at", "ip"})


def test_suspending_ends_the_links_that_are_owed_and_lets_notices_go(ana: User) -> None:
    passwords.request_reset(ana.email)
    outbox.put("welcome", user=ana, email=ana.email)
    outbox.put("password_changed", user=ana, email=ana.email)
    users.suspend(ana, actor=None)
    assert owed() == [("password_changed", "ana@example.com")]


def test_who_is_deleted_leaves_no_mail_behind(ana: User, bruno: User) -> None:
    passwords.request_reset("ANA@example.com")
    outbox.put("email_changed", user=ana, email="ana@old.example")
    outbox.put("password_changed", user=bruno, email=bruno.email)
    users.delete(ana, actor=None)
    assert owed() == [("password_changed", "bruno@example.com")]


def test_a_person_sees_the_mails_that_were_sent_to_them(ana: User, bruno: User) -> None:
    passwords.request_reset(ana.email)
    outbox.put("password_changed", user=bruno, email=bruno.email)
    ((mail,),) = personal_data.export(ana).of_others["mails"]
    assert (mail["kind"], mail["email"], mail["state"]) == ("password_reset", "ana@example.com", "owed")
