"""The text and language of each kind of email, and the reasons for which an email is obsolete."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as project
from django.utils import translation
from pytest_django import Settings

from accounts import one_time_tokens
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from notifications import outbox
from notifications.content import composing, kinds, rendering
from notifications.content.composing import Obsolete
from notifications.models import OutboxMail
from notifications.sending.delivery import compose_with_token

LANGUAGES = [code for code, _name in project.LANGUAGES]
LINK = re.compile(r"http://localhost:8000(/[a-z-]+)\?token=([\w-]+)")
Claim = Callable[..., OutboxMail]


@pytest.fixture
def claimed(db: None) -> Claim:
    """Enqueues and claims an email: claimed("welcome", user=ana)."""

    def put_and_claim(kind: str, user: User | None = None, email: str = "", **fields: Any) -> OutboxMail:
        address = email or (user.email if user else "ana@example.com")
        put = outbox.enqueue(kind, user=user, email=address, **{"language": "en"} | fields)
        mail = outbox.claim(put.pk)
        assert mail is not None
        return mail

    return put_and_claim


@pytest.fixture
def unconfirmed(person: Callable[..., User]) -> User:
    return person("ana", email_verified=False)


def link_in(text: str) -> tuple[str, str]:
    """Returns the page and the token of the only link with a token."""
    ((page, secret),) = LINK.findall(text)
    return page, secret


def test_the_kinds_are_those_that_users_can_count_on() -> None:
    assert set(kinds.KINDS) == {
        "welcome",
        "verify_email",
        "password_reset",
        "login_blocked",
        "password_changed",
        "email_change",
        "email_changed",
        "already_registered",
        "invitation",
        "new_login",
        "factor_added",
        "factor_removed",
        "recovery_code_used",
        "recovery_codes_made",
        "second_factor_failed",
        "second_factor_due",
        "set_up_second_factor",
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_each_kind_is_complete_in_each_language(kind: str, language: str) -> None:
    for name in rendering.file_names(kind, language):
        assert (rendering.BUILT_IN / name).is_file(), name
    for content, sample in zip(composing.previews(kind, language), composing.sample_contexts(kind), strict=True):
        assert content.subject
        assert "\n" not in content.subject
        for body in (content.text, content.html):
            assert "{" not in re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
            assert "UserManager" in body
            assert "a…@example.com" in body
            assert (
                body.count("token=…") == (body is content.html) + 1 + (body is content.html) if sample["link"] else True
            )
        assert f'<html lang="{language}">' in content.html
        assert 'style="' in content.html
        assert "prefers-color-scheme: dark" in content.html
        assert re.search(r'<div class="preview"[^>]*>[^<]+[.]</div>', content.html), "what an inbox shows"
        assert "://" not in content.html.replace("http://localhost:8000", ""), "something from outside"


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_no_language_repeats_the_text_of_another(kind: str) -> None:
    english, spanish = (composing.previews(kind, language) for language in ("en", "es"))
    for one, other in zip(english, spanish, strict=True):
        assert one.subject != other.subject
        assert not {line for line in one.text.splitlines() if " " in line} & set(other.text.splitlines())


@pytest.mark.parametrize(
    ("kind", "page", "purpose"),
    [
        ("welcome", "/verify-email", Purpose.VERIFY_EMAIL),
        ("password_reset", "/reset-password", Purpose.PASSWORD_RESET),
        ("verify_email", "/verify-email", Purpose.VERIFY_EMAIL),
    ],
)
def test_a_link_leads_to_its_page_and_works(
    claimed: Claim, unconfirmed: User, kind: str, page: str, purpose: Purpose
) -> None:
    content = compose_with_token(claimed(kind, unconfirmed))
    found, secret = link_in(content.text)
    assert found == page
    assert one_time_tokens.find(secret, purpose).user == unconfirmed
    assert content.html.count(secret) == 3  # the button, the address to copy and where that leads


def test_an_invitation_leads_to_the_page_that_accepts_it(claimed: Claim, unconfirmed: User) -> None:
    unconfirmed.set_password(None)
    unconfirmed.save()
    page, secret = link_in(compose_with_token(claimed("invitation", unconfirmed)).text)
    assert page == "/accept-invitation"
    assert one_time_tokens.find(secret, Purpose.INVITATION)


def test_the_link_for_a_new_address_is_bound_to_that_address(claimed: Claim, ana: User) -> None:
    mail = claimed("email_change", ana, email="ana@new.example")
    page, secret = link_in(compose_with_token(mail).text)
    assert page == "/change-email"
    assert one_time_tokens.find(secret, Purpose.EMAIL_CHANGE).email == "ana@new.example"


def test_links_lead_to_the_front_end_where_there_is_one(claimed: Claim, ana: User, settings: Settings) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    assert "https://app.example.com/reset-password?token=" in compose_with_token(claimed("password_reset", ana)).text


def test_each_attempt_issues_its_own_token_and_all_work(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset", ana)
    secrets = [link_in(compose_with_token(mail).text)[1] for _ in range(2)]
    assert len(set(secrets)) == 2
    for secret in secrets:
        assert one_time_tokens.find(secret, Purpose.PASSWORD_RESET)


def test_a_welcome_to_a_confirmed_address_has_no_link(claimed: Claim, ana: User) -> None:
    content = compose_with_token(claimed("welcome", ana))
    assert not LINK.search(content.text + content.html)
    assert not OneTimeToken.objects.exists()


@pytest.mark.parametrize(("locale", "subject"), [("es", "Restablece tu contraseña"), ("", "Reset your ")])
def test_the_users_language_decides_then_the_requests(claimed: Claim, ana: User, locale: str, subject: str) -> None:
    User.objects.filter(pk=ana.pk).update(locale=locale)
    assert compose_with_token(claimed("password_reset")).subject.startswith(subject)
    User.objects.filter(pk=ana.pk).update(locale="")
    assert compose_with_token(claimed("password_reset", language="es")).subject.startswith("Restablece")


def test_no_email_repeats_user_input(claimed: Claim, person: Callable[..., User]) -> None:
    eve = person("ana", full_name="Win at http://evil.example", email_verified=False, metadata={"note": "evil.example"})
    for kind in ("welcome", "password_reset", "password_changed", "already_registered"):
        content = compose_with_token(claimed(kind, eve))
        assert "evil.example" not in content.subject + content.text + content.html


def test_the_notice_of_a_sign_in_says_when_and_from_where(claimed: Claim, ana: User) -> None:
    data = {"at": "2026-01-31T12:30:00+00:00", "ip": "192.0.2.7"}
    content = compose_with_token(claimed("new_login", ana, data=data))
    assert "Time: Jan. 31, 2026, 12:30 UTC\nIP address: 192.0.2.7\n" in content.text
    assert "<b>Jan. 31, 2026, 12:30 UTC</b>" in content.html


def test_the_old_address_gets_notices_of_both_steps(claimed: Claim, ana: User) -> None:
    requested, confirmed = (
        compose_with_token(claimed("email_changed", ana, data={"stage": stage})) for stage in ("requested", "confirmed")
    )
    assert "Request to change" in requested.subject
    assert "was changed" in confirmed.subject


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered"])
def test_an_email_to_an_unknown_address_is_obsolete(claimed: Claim, kind: str) -> None:
    with pytest.raises(Obsolete, match="No user"):
        compose_with_token(claimed(kind, email="nobody@example.com"))


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered", "welcome", "invitation"])
def test_a_suspended_user_gets_no_link(claimed: Claim, person: Callable[..., User], kind: str) -> None:
    person("ana", is_active=False, email_verified=False)
    with pytest.raises(Obsolete, match="suspended"):
        compose_with_token(claimed(kind))
    assert not OneTimeToken.objects.exists()


def test_a_suspended_user_gets_notices(claimed: Claim, person: Callable[..., User]) -> None:
    suspended = person("ana", is_active=False)
    assert compose_with_token(claimed("password_changed", suspended))


def test_a_link_for_a_completed_step_is_obsolete(claimed: Claim, ana: User) -> None:
    for kind, reason in (("verify_email", "confirmed"), ("invitation", "accepted"), ("email_change", "already has")):
        with pytest.raises(Obsolete, match=reason):
            compose_with_token(claimed(kind, ana))


def test_a_welcome_to_a_former_address_is_obsolete(claimed: Claim, unconfirmed: User) -> None:
    mail = claimed("welcome", unconfirmed)
    unconfirmed.email = "ana@new.example"
    unconfirmed.save(update_fields=["email"])
    mail.refresh_from_db()
    with pytest.raises(Obsolete, match="another address"):
        compose_with_token(mail)


def test_a_newer_request_makes_the_older_email_obsolete(claimed: Claim, ana: User) -> None:
    older, newer = claimed("password_reset"), claimed("password_reset")
    compose_with_token(newer)
    with pytest.raises(Obsolete, match="newer"):
        compose_with_token(older)


def test_a_retry_after_the_link_was_used_is_obsolete(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset")
    one_time_tokens.consume(one_time_tokens.find(link_in(compose_with_token(mail).text)[1], Purpose.PASSWORD_RESET))
    with pytest.raises(Obsolete, match="used"):
        compose_with_token(mail)


def test_an_email_cancelled_while_being_sent_gets_no_token(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset")
    outbox.cancel(OutboxMail.objects.all(), "the password was changed")
    with pytest.raises(Obsolete, match="cancelled"):
        compose_with_token(mail)
    assert not OneTimeToken.objects.exists()


def test_composing_leaves_the_language_of_the_process_alone(claimed: Claim, ana: User) -> None:
    with translation.override("en"):
        compose_with_token(claimed("password_changed", ana, language="es"))
        assert translation.get_language() == "en"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_on_emails_shows_each_form_of_each_kind(language: str) -> None:
    folder = project.BASE_DIR / "docs" / "mails"
    page = (folder / "README.md").read_text()
    for kind in kinds.KINDS:
        for number in range(1, len(composing.sample_contexts(kind)) + 1):
            picture = f"{language}/{kind}{f'-{number}' if number > 1 else ''}.png"
            assert f"![]({picture})" in page
            assert (folder / picture).is_file()


def test_an_email_to_a_user_deleted_after_the_claim_is_obsolete(enqueue: Callable[..., OutboxMail], ana: User) -> None:
    claimed = outbox.claim(enqueue("password_changed", user=ana).pk)
    assert claimed
    ana.delete()
    with pytest.raises(composing.Obsolete, match="deleted"):
        compose_with_token(claimed)
