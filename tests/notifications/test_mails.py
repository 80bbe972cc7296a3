"""What each kind of mail says, in whose language, and who does not get it any more."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as project
from django.utils import translation
from pytest_django import Settings

from accounts import tokens
from accounts.models import OneTimeToken, User
from accounts.tokens import Purpose
from notifications import mails, outbox, rendering
from notifications.mails import NotWanted
from notifications.models import OutboxMail

LANGUAGES = [code for code, _name in project.LANGUAGES]
LINK = re.compile(r"http://localhost:8000(/[a-z-]+)\?token=([\w-]+)")
Claim = Callable[..., OutboxMail]


@pytest.fixture
def claimed(db: None) -> Claim:
    """A mail that is about to be sent: claimed("welcome", user=ana)."""

    def put_and_claim(kind: str, user: User | None = None, email: str = "", **fields: Any) -> OutboxMail:
        address = email or (user.email if user else "ana@example.com")
        put = outbox.put(kind, user=user, email=address, **{"language": "en"} | fields)
        mail = outbox.claim(put.pk)
        assert mail is not None
        return mail

    return put_and_claim


@pytest.fixture
def unconfirmed(person: Callable[..., User]) -> User:
    return person("ana", email_verified=False)


def link_in(text: str) -> tuple[str, str]:
    """The page of the only link with a token, and the token."""
    ((page, secret),) = LINK.findall(text)
    return page, secret


def test_the_kinds_are_those_that_users_can_count_on() -> None:
    assert set(mails.KINDS) == {
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
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", mails.KINDS)
def test_each_kind_is_complete_in_each_language(kind: str, language: str) -> None:
    for name in rendering.names(kind, language):
        assert (rendering.OURS / name).is_file(), name
    for content, sample in zip(mails.previews(kind, language), mails.sample_contexts(kind), strict=True):
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


@pytest.mark.parametrize("kind", mails.KINDS)
def test_no_language_repeats_another_ones_words(kind: str) -> None:
    english, spanish = (mails.previews(kind, language) for language in ("en", "es"))
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
    content = mails.compose(claimed(kind, unconfirmed))
    found, secret = link_in(content.text)
    assert found == page
    assert tokens.find(secret, purpose).user == unconfirmed
    assert content.html.count(secret) == 3  # the button, the address to copy and where that leads


def test_an_invitation_leads_to_the_page_that_accepts_it(claimed: Claim, unconfirmed: User) -> None:
    unconfirmed.set_password(None)
    unconfirmed.save()
    page, secret = link_in(mails.compose(claimed("invitation", unconfirmed)).text)
    assert page == "/accept-invitation"
    assert tokens.find(secret, Purpose.INVITATION)


def test_the_link_for_a_new_address_is_bound_to_that_address(claimed: Claim, ana: User) -> None:
    mail = claimed("email_change", ana, email="ana@new.example")
    page, secret = link_in(mails.compose(mail).text)
    assert page == "/change-email"
    assert tokens.find(secret, Purpose.EMAIL_CHANGE).email == "ana@new.example"


def test_links_lead_to_the_front_end_where_there_is_one(claimed: Claim, ana: User, settings: Settings) -> None:
    settings.FRONTEND_URL = "https://app.example.com"
    assert "https://app.example.com/reset-password?token=" in mails.compose(claimed("password_reset", ana)).text


def test_each_try_makes_a_link_of_its_own_and_all_work(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset", ana)
    secrets = [link_in(mails.compose(mail).text)[1] for _ in range(2)]
    assert len(set(secrets)) == 2
    for secret in secrets:
        assert tokens.find(secret, Purpose.PASSWORD_RESET)


def test_who_is_welcomed_with_a_confirmed_address_gets_no_link(claimed: Claim, ana: User) -> None:
    content = mails.compose(claimed("welcome", ana))
    assert not LINK.search(content.text + content.html)
    assert not OneTimeToken.objects.exists()


@pytest.mark.parametrize(("locale", "subject"), [("es", "Restablece tu contraseña"), ("", "Reset your ")])
def test_the_users_language_decides_then_the_requests(claimed: Claim, ana: User, locale: str, subject: str) -> None:
    User.objects.filter(pk=ana.pk).update(locale=locale)
    assert mails.compose(claimed("password_reset")).subject.startswith(subject)
    User.objects.filter(pk=ana.pk).update(locale="")
    assert mails.compose(claimed("password_reset", language="es")).subject.startswith("Restablece")


def test_nothing_that_a_user_typed_is_in_a_mail(claimed: Claim, person: Callable[..., User]) -> None:
    eve = person("ana", full_name="Win at http://evil.example", email_verified=False, metadata={"note": "evil.example"})
    for kind in ("welcome", "password_reset", "password_changed", "already_registered"):
        content = mails.compose(claimed(kind, eve))
        assert "evil.example" not in content.subject + content.text + content.html


def test_the_notice_of_a_sign_in_says_when_and_from_where(claimed: Claim, ana: User) -> None:
    data = {"at": "2026-01-31T12:30:00+00:00", "ip": "192.0.2.7"}
    content = mails.compose(claimed("new_login", ana, data=data))
    assert "Time: Jan. 31, 2026, 12:30 UTC\nIP address: 192.0.2.7\n" in content.text
    assert "<b>Jan. 31, 2026, 12:30 UTC</b>" in content.html


def test_the_old_address_is_told_of_both_steps(claimed: Claim, ana: User) -> None:
    requested, confirmed = (
        mails.compose(claimed("email_changed", ana, data={"stage": stage})) for stage in ("requested", "confirmed")
    )
    assert "Request to change" in requested.subject
    assert "was changed" in confirmed.subject


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered"])
def test_an_address_that_nobody_has_gets_nothing(claimed: Claim, kind: str) -> None:
    with pytest.raises(NotWanted, match="Nobody"):
        mails.compose(claimed(kind, email="nobody@example.com"))


@pytest.mark.parametrize("kind", ["password_reset", "verify_email", "already_registered", "welcome", "invitation"])
def test_somebody_suspended_gets_no_link(claimed: Claim, person: Callable[..., User], kind: str) -> None:
    person("ana", is_active=False, email_verified=False)
    with pytest.raises(NotWanted, match="suspended"):
        mails.compose(claimed(kind))
    assert not OneTimeToken.objects.exists()


def test_notices_reach_even_somebody_suspended(claimed: Claim, person: Callable[..., User]) -> None:
    suspended = person("ana", is_active=False)
    assert mails.compose(claimed("password_changed", suspended))


def test_what_is_confirmed_or_accepted_or_theirs_already_is_not_asked_for(claimed: Claim, ana: User) -> None:
    for kind, reason in (("verify_email", "confirmed"), ("invitation", "accepted"), ("email_change", "theirs")):
        with pytest.raises(NotWanted, match=reason):
            mails.compose(claimed(kind, ana))


def test_a_welcome_does_not_follow_to_an_address_they_left(claimed: Claim, unconfirmed: User) -> None:
    mail = claimed("welcome", unconfirmed)
    unconfirmed.email = "ana@new.example"
    unconfirmed.save(update_fields=["email"])
    mail.refresh_from_db()
    with pytest.raises(NotWanted, match="another address"):
        mails.compose(mail)


def test_a_newer_request_makes_the_older_mail_unwanted(claimed: Claim, ana: User) -> None:
    older, newer = claimed("password_reset"), claimed("password_reset")
    mails.compose(newer)
    with pytest.raises(NotWanted, match="newer"):
        mails.compose(older)


def test_a_mail_that_is_tried_again_after_its_link_was_used_is_unwanted(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset")
    tokens.consume(tokens.find(link_in(mails.compose(mail).text)[1], Purpose.PASSWORD_RESET))
    with pytest.raises(NotWanted, match="used"):
        mails.compose(mail)


def test_a_mail_that_was_cancelled_in_the_hands_of_its_sender_gets_no_link(claimed: Claim, ana: User) -> None:
    mail = claimed("password_reset")
    outbox.cancel(OutboxMail.objects.all(), "the password was changed")
    with pytest.raises(NotWanted, match="cancelled"):
        mails.compose(mail)
    assert not OneTimeToken.objects.exists()


def test_composing_leaves_the_language_of_the_process_alone(claimed: Claim, ana: User) -> None:
    with translation.override("en"):
        mails.compose(claimed("password_changed", ana, language="es"))
        assert translation.get_language() == "en"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_on_the_mails_shows_each_form_of_each_kind(language: str) -> None:
    folder = project.BASE_DIR / "docs" / "mails"
    page = (folder / "README.md").read_text()
    for kind in mails.KINDS:
        for number in range(1, len(mails.sample_contexts(kind)) + 1):
            picture = f"{language}/{kind}{f'-{number}' if number > 1 else ''}.png"
            assert f"![]({picture})" in page
            assert (folder / picture).is_file()


def test_whoever_left_after_the_claim_is_told_nothing(owe: Callable[..., OutboxMail], ana: User) -> None:
    claimed = outbox.claim(owe("password_changed", user=ana).pk)
    assert claimed
    ana.delete()
    with pytest.raises(mails.NotWanted, match="deleted"):
        mails.compose(claimed)
