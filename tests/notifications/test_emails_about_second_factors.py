"""The emails about second factors: when each is enqueued, what it says, and when it is obsolete."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from accounts import login, one_time_tokens, passwords, second_factor, signals, users
from accounts.errors import InvalidSecondFactor, InvalidToken, SecondFactorRequired
from accounts.limits.rates import Rate
from accounts.mfa import proofs
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import Role, User
from accounts.models.role import MfaPolicy
from accounts.one_time_tokens import Purpose
from notifications import outbox
from notifications.content import composing
from notifications.content.composing import Content, Obsolete
from notifications.models import OutboxMail, State
from notifications.sending.delivery import compose_with_token
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.notifications.test_composing import link_in
from tests.second_factors import enrol

DUE = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
NOTICES = ["factor_added", "factor_removed", "recovery_code_used", "recovery_codes_made", "second_factor_failed"]


def pending(kind: str) -> OutboxMail:
    """Returns the only pending email, which has this kind."""
    (mail,) = OutboxMail.objects.filter(state=State.PENDING)
    assert mail.kind == kind
    return mail


def content_of(mail: OutboxMail) -> Content:
    claimed = outbox.claim(mail.pk)
    assert claimed
    return compose_with_token(claimed)


def reset(user: User, *, must_enrol: bool) -> None:
    """Does what an administrator's reset does."""
    user.mfa_enabled, user.mfa_reset_at = False, timezone.now() if must_enrol else None
    user.save(update_fields=["mfa_enabled", "mfa_reset_at"])
    signals.second_factors_reset.send(sender=User, user=user, must_enrol=must_enrol)


def fail_once(user: User) -> None:
    """Signs in with the right password and a wrong code."""
    with pytest.raises(SecondFactorRequired) as pending_login:
        login.log_in(user.email, PASSWORD)
    with pytest.raises(InvalidSecondFactor):
        second_factor.finish_login(pending_login.value.members["mfa_token"], SubmittedProof(code="000000"))


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_first_factor_is_announced_with_the_recovery_codes(ana: User, language: str) -> None:
    User.objects.filter(pk=ana.pk).update(locale=language)
    enrol(ana)
    mail = pending("factor_added")
    assert (mail.email, mail.user, mail.data) == (ana.email, ana, {"is_first": True})
    content = content_of(mail)
    expected = {
        "en": ("A second factor was added", "recovery codes", "/forgot-password"),
        "es": ("Se ha añadido un segundo factor", "códigos de recuperación", "/forgot-password"),
    }[language]
    assert content.subject.startswith(expected[0])
    for text in expected[1:]:
        assert text in " ".join(content.text.split())
        assert text in content.html


def test_a_further_factor_is_announced_without_them(ana: User) -> None:
    enrol(ana)
    OutboxMail.objects.all().delete()
    signals.factor_added.send(sender=User, user=ana, factor="My key", is_first=False)
    content = content_of(pending("factor_added"))
    assert "recovery" not in content.text + content.html
    assert "My key" not in content.subject + content.text + content.html, "a user typed it"


def test_a_removed_factor_is_announced_without_its_name(ana: User) -> None:
    signals.factor_removed.send(sender=User, user=ana, factor="www.evil.test")
    content = content_of(pending("factor_removed"))
    assert content.subject == "A second factor was removed from your UserManager account"
    assert "http://localhost:8000/forgot-password" in content.text
    assert "evil" not in content.subject + content.text + content.html


def test_a_used_recovery_code_is_announced_with_the_number_left(ana: User) -> None:
    code = enrol(ana).recovery_codes[0]
    OutboxMail.objects.all().delete()
    with pytest.raises(SecondFactorRequired) as pending_login:
        login.log_in(ana.email, PASSWORD)
    second_factor.finish_login(pending_login.value.members["mfa_token"], SubmittedProof(recovery_code=code))
    content = content_of(pending("recovery_code_used"))
    assert "Codes that still work: 9\n" in content.text
    assert "Codes that still work: <b>9</b>" in content.html


def test_new_recovery_codes_are_announced(ana: User) -> None:
    signals.recovery_codes_made.send(sender=User, user=ana)
    assert content_of(pending("recovery_codes_made")).subject == "New recovery codes for your UserManager account"


def test_the_first_wrong_factor_of_a_window_is_announced_with_the_way_to_reset_the_password(
    ana: User, settings: Settings
) -> None:
    settings.RATE_LIMITS = True
    enrol(ana)
    OutboxMail.objects.all().delete()
    for _time in range(2):
        fail_once(ana)
    content = content_of(pending("second_factor_failed"))
    assert content.subject == "Someone knows the password of your UserManager account"
    assert "http://localhost:8000/forgot-password" in content.text


def test_the_grace_period_is_announced_with_its_end(ana: User) -> None:
    Role.objects.filter(pk=ana.role_id).update(mfa=MfaPolicy.REQUIRED)
    ana.role.refresh_from_db()
    before = timezone.now()
    login.open_session(ana, proofs.PASSWORD)
    mail = pending("second_factor_due")
    assert before + timedelta(days=7) <= datetime.fromisoformat(mail.data["at"]) <= timezone.now() + timedelta(days=7)
    mail.data = {"at": DUE.isoformat()}
    mail.save(update_fields=["data"])
    assert "before: Jan. 31, 2026, 12:30 UTC\n" in content_of(mail).text


def test_the_grace_period_of_a_user_with_a_factor_is_obsolete(ana: User) -> None:
    signals.second_factor_due.send(sender=User, user=ana, due=DUE)
    User.objects.filter(pk=ana.pk).update(mfa_enabled=True)
    with pytest.raises(Obsolete, match="has a second factor now"):
        content_of(pending("second_factor_due"))


@pytest.mark.parametrize("frontend", ["", "https://app.example.com"])
def test_a_reset_sends_a_link_that_works_for_a_day(ana: User, settings: Settings, frontend: str) -> None:
    settings.FRONTEND_URL = frontend
    reset(ana, must_enrol=True)
    content = content_of(pending("set_up_second_factor"))
    base = frontend or "http://localhost:8000"
    assert f"{base}/set-up-second-factor?token=" in content.text
    assert "for 1 day," in content.text
    token = one_time_tokens.find(content.text.split("token=")[1].split()[0], Purpose.SECOND_FACTOR)
    assert (token.user, token.email) == (ana, ana.email)
    assert timedelta(hours=23) < token.expires_at - timezone.now() <= timedelta(hours=24)


def test_a_reset_that_requires_no_new_factor_sends_a_notice_without_a_link(ana: User) -> None:
    reset(ana, must_enrol=False)
    content = content_of(pending("factor_removed"))
    assert content.subject == "The second factors of your UserManager account were removed"
    assert "token=" not in content.text + content.html


@pytest.mark.parametrize("must_enrol", [True, False])
def test_a_newer_reset_cancels_the_pending_link_of_an_older_one(ana: User, must_enrol: bool) -> None:
    reset(ana, must_enrol=True)
    older = pending("set_up_second_factor")
    reset(ana, must_enrol=must_enrol)
    assert pending("set_up_second_factor" if must_enrol else "factor_removed") != older
    older.refresh_from_db()
    assert older.state == State.CANCELLED


def test_a_newer_reset_ends_the_delivered_link_of_an_older_one(ana: User) -> None:
    secrets = []
    for _time in range(2):
        reset(ana, must_enrol=True)
        secrets.append(link_in(content_of(pending("set_up_second_factor")).text)[1])
        OutboxMail.objects.all().delete()
    assert one_time_tokens.find(secrets[1], Purpose.SECOND_FACTOR)
    with pytest.raises(InvalidToken):
        one_time_tokens.find(secrets[0], Purpose.SECOND_FACTOR)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"mfa_enabled": True, "mfa_reset_at": None}, "has a second factor now"),
        ({"mfa_reset_at": None}, "needs no second factor"),
        ({"email": "ana@new.example", "email_key": "ana@new.example"}, "another address"),
        ({"is_active": False}, "suspended"),
    ],
)
def test_a_link_that_the_user_no_longer_needs_is_obsolete(ana: User, values: dict[str, object], reason: str) -> None:
    reset(ana, must_enrol=True)
    mail = pending("set_up_second_factor")
    User.objects.filter(pk=ana.pk).update(**values)
    with pytest.raises(Obsolete, match=reason):
        content_of(mail)


def test_a_new_password_cancels_the_pending_link(ana: User) -> None:
    reset(ana, must_enrol=True)
    passwords.change(ana, PASSWORD, OTHER_PASSWORD, keep=None)
    assert pending("password_changed")


@pytest.mark.parametrize("kind", NOTICES)
def test_notices_go_to_suspended_users_and_former_addresses(ana: User, kind: str) -> None:
    mail = outbox.enqueue(kind, user=ana, email="ana@old.example", data={"left": 9})
    users.suspend(ana, actor=None)
    assert content_of(mail).email == "ana@old.example"


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_an_unconfirmed_account_does_not_flood_a_mailbox_with_them(
    person: Callable[..., User], settings: Settings, is_confirmed: bool
) -> None:
    settings.RATE_LIMITS, settings.RATE_MAIL = True, Rate(2, timedelta(hours=1))
    user = person("ana", email_verified=is_confirmed)
    for _time in range(3):
        signals.second_factor_due.send(sender=User, user=user, due=DUE)
        signals.second_factor_failed.send(sender=User, user=user)
    assert OutboxMail.objects.count() == (6 if is_confirmed else 2)


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_notice_leads_to_the_reset_of_the_password(language: str) -> None:
    for kind in NOTICES:
        content = composing.previews(kind, language)[0]
        assert "http://localhost:8000/forgot-password" in content.text
        assert 'href="http://localhost:8000/forgot-password"' in content.html
