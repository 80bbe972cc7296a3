"""manage.py import_users --on-conflict update: what changes for a user who is there already."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import login, users
from accounts.models import AuditEvent, Session, User
from accounts.transfer.formats import FORMATS
from tests.transfer.conftest import Importing, lines

ADDRESS = {"wordpress": "user_email"}  # what others call `email`
EMPTY: dict[str, dict[str, Any]] = {
    "usermanager": {"full_name": "", "is_active": None, "email_verified": "", "metadata": None, "password_hash": None},
    "supabase": {"email_confirmed_at": None, "banned_until": "", "raw_user_meta_data": "", "encrypted_password": None},
    "keycloak": {"enabled": None, "emailVerified": None, "attributes": None, "credentials": []},
    "auth0": {"blocked": None, "email_verified": "", "user_metadata": None, "passwordHash": ""},
    "django": {"is_active": "", "first_name": "", "last_name": "", "password": ""},
    "firebase": {"emailVerified": "", "disabled": None, "customAttributes": "", "passwordHash": None, "localId": ""},
    "wordpress": {"display_name": "", "user_pass": None, "user_registered": ""},
    "fastapi-users": {"is_active": None, "is_verified": "", "hashed_password": None},
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("is_active", [True, False])
def test_a_record_that_names_an_address_alone_updates_nothing(
    import_users: Importing, settings: Any, ana: User, name: str, is_active: bool
) -> None:
    """Neither does one whose other keys are empty: a reader has no defaults for them."""
    settings.FIREBASE_SIGNER_KEY = b"key"
    ana.full_name, ana.locale, ana.email_verified, ana.metadata = "Ana", "es", True, {"plan": "pro"}
    ana.last_login_at = timezone.now()
    ana.save()
    if is_active:
        login.open_session(ana)
    else:
        users.suspend(ana, actor=None, reason="Spam")
    before = User.objects.filter(pk=ana.pk).values().get(), Session.objects.alive().count()
    events = AuditEvent.objects.exclude(kind__startswith="import:").count()
    address = {ADDRESS.get(name, "email"): ana.email}
    text = lines(address, {**address, **EMPTY[name]})
    assert "0 created, 2 updated, 0 skipped, 0 rejected" in import_users(text, format=name, on_conflict="update")
    assert (User.objects.filter(pk=ana.pk).values().get(), Session.objects.alive().count()) == before
    assert AuditEvent.objects.exclude(kind__startswith="import:").count() == events


def test_the_two_exports_of_auth0_come_in_one_after_the_other(import_users: Importing) -> None:
    user = {"email": "dora@example.com", "blocked": True, "user_metadata": {"plan": "pro"}, "name": "Dora"}
    hashes = {"email": "dora@example.com", "email_verified": True, "passwordHash": f"$2b$04${'a' * 53}"}
    import_users(lines(user), format="auth0")
    assert "1 updated" in import_users(lines(hashes), format="auth0", on_conflict="update")
    dora = User.objects.get()
    assert (dora.is_active, dora.metadata, dora.full_name) == (False, {"plan": "pro"}, "Dora")
    assert (dora.email_verified, dora.has_usable_password()) == (True, True)


@pytest.mark.parametrize("named", ["suspension_reason", "suspended_until"])
def test_a_record_that_names_one_thing_about_a_suspension_keeps_the_other(
    import_users: Importing, ana: User, named: str
) -> None:
    until = timezone.now().replace(microsecond=0) + timedelta(days=1)
    held = {"suspension_reason": "Spam", "suspended_until": until}
    news = {"suspension_reason": "Fraud", "suspended_until": until + timedelta(days=1)}
    users.suspend(ana, actor=None, reason="Spam", until=until)
    row = {"email": ana.email, "is_active": False, named: str(news[named])}
    assert "1 updated" in import_users(lines(row), on_conflict="update")
    ana.refresh_from_db()
    assert {name: getattr(ana, name) for name in held} == held | {named: news[named]}


@pytest.mark.parametrize(("blocked", "is_active"), [("true", False), ("false", True), ("", True)])
def test_a_flag_of_auth0_is_read_from_a_csv_too(import_users: Importing, blocked: str, is_active: bool) -> None:
    import_users(f"email,blocked\ndora@example.com,{blocked}\n", format="auth0")
    assert User.objects.get().is_active == is_active


def test_metadata_that_a_record_does_not_name_stays(import_users: Importing, ana: User) -> None:
    ana.metadata = {"plan": "pro", "theme": "dark"}
    ana.save()
    import_users(lines({"email": ana.email, "metadata": {"plan": "free"}}), on_conflict="update")
    ana.refresh_from_db()
    assert ana.metadata == {"plan": "free", "theme": "dark"}


def test_metadata_that_is_too_large_with_what_the_user_has_is_left_out(import_users: Importing, ana: User) -> None:
    ana.metadata = {"plan": "pro"}
    ana.save()
    large = lines({"email": ana.email, "metadata": {"more": "x" * 16_368}, "full_name": "Ana Núñez"})
    strict = import_users(large, on_conflict="update", strict=True)
    assert "Line 1: Metadata takes at most 16 KiB" in strict
    assert "0 updated, 0 skipped, 1 rejected" in strict
    said = import_users(large, on_conflict="update")
    assert "Line 1: metadata: together with what the user has it is over 16 KiB; imported without it" in said
    assert "1 updated, 0 skipped, 0 rejected, 1 warnings" in said
    ana.refresh_from_db()
    assert (ana.full_name, ana.metadata) == ("Ana Núñez", {"plan": "pro"})
