"""manage.py import_users --on-conflict update: the changes to an existing user."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import login, users
from accounts.mfa import proofs
from accounts.models import AuditEvent, Session, User
from accounts.transfer.formats import FORMATS
from tests.transfer.conftest import Importing, lines

ADDRESS = {"wordpress": "user_email"}  # the other names of the column `email`
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
def test_a_record_with_only_an_address_updates_nothing(
    import_users: Importing, settings: Any, ana: User, name: str, is_active: bool
) -> None:
    """A record whose other keys are empty updates nothing, either: readers have no defaults."""
    settings.FIREBASE_SIGNER_KEY = b"key"
    ana.full_name, ana.locale, ana.email_verified, ana.metadata = "Ana", "es", True, {"plan": "pro"}
    ana.last_login_at = timezone.now()
    ana.save()
    if is_active:
        login.open_session(ana, proofs.PASSWORD)
    else:
        users.suspend(ana, actor=None, reason="Spam")
    before = User.objects.filter(pk=ana.pk).values().get(), Session.objects.active().count()
    events = AuditEvent.objects.exclude(kind__startswith="import:").count()
    address = {ADDRESS.get(name, "email"): ana.email}
    text = lines(address, {**address, **EMPTY[name]})
    assert "0 created, 2 updated, 0 skipped, 0 rejected" in import_users(text, format=name, on_conflict="update")
    assert (User.objects.filter(pk=ana.pk).values().get(), Session.objects.active().count()) == before
    assert AuditEvent.objects.exclude(kind__startswith="import:").count() == events


def test_the_two_exports_of_auth0_are_imported_one_after_the_other(import_users: Importing) -> None:
    user = {"email": "dora@example.com", "blocked": True, "user_metadata": {"plan": "pro"}, "name": "Dora"}
    hashes = {"email": "dora@example.com", "email_verified": True, "passwordHash": f"$2b$04${'a' * 53}"}
    import_users(lines(user), format="auth0")
    assert "1 updated" in import_users(lines(hashes), format="auth0", on_conflict="update")
    dora = User.objects.get()
    assert (dora.is_active, dora.metadata, dora.full_name) == (False, {"plan": "pro"}, "Dora")
    assert (dora.email_verified, dora.has_usable_password()) == (True, True)


@pytest.mark.parametrize("named", ["suspension_reason", "suspended_until"])
def test_a_record_with_one_field_of_a_suspension_keeps_the_other(
    import_users: Importing, ana: User, named: str
) -> None:
    until = timezone.now().replace(microsecond=0) + timedelta(days=1)
    held = {"suspension_reason": "Spam", "suspended_until": until}
    new = {"suspension_reason": "Fraud", "suspended_until": until + timedelta(days=1)}
    users.suspend(ana, actor=None, reason="Spam", until=until)
    row = {"email": ana.email, "is_active": False, named: str(new[named])}
    assert "1 updated" in import_users(lines(row), on_conflict="update")
    ana.refresh_from_db()
    assert {name: getattr(ana, name) for name in held} == held | {named: new[named]}


@pytest.mark.parametrize(("blocked", "is_active"), [("true", False), ("false", True), ("", True)])
def test_a_flag_of_auth0_is_read_from_a_csv(import_users: Importing, blocked: str, is_active: bool) -> None:
    import_users(f"email,blocked\ndora@example.com,{blocked}\n", format="auth0")
    assert User.objects.get().is_active == is_active


def test_keys_of_metadata_that_a_record_does_not_name_are_kept(import_users: Importing, ana: User) -> None:
    ana.metadata = {"plan": "pro", "theme": "dark"}
    ana.save()
    import_users(lines({"email": ana.email, "metadata": {"plan": "free"}}), on_conflict="update")
    ana.refresh_from_db()
    assert ana.metadata == {"plan": "free", "theme": "dark"}


def test_metadata_that_is_too_large_after_merging_is_left_out(import_users: Importing, ana: User) -> None:
    ana.metadata = {"plan": "pro"}
    ana.save()
    large = lines({"email": ana.email, "metadata": {"more": "x" * 16_368}, "full_name": "Ana Núñez"})
    strict = import_users(large, on_conflict="update", strict=True)
    assert "Line 1: Metadata must be at most 16 KiB" in strict
    assert "0 updated, 0 skipped, 1 rejected" in strict
    said = import_users(large, on_conflict="update")
    assert "Line 1: metadata: together with the user's present metadata, it exceeds 16 KiB; imported without it" in said
    assert "1 updated, 0 skipped, 0 rejected, 1 warnings" in said
    ana.refresh_from_db()
    assert (ana.full_name, ana.metadata) == ("Ana Núñez", {"plan": "pro"})
