"""The checks of `manage.py check --deploy`: settings and files that are unsafe in production."""

import ipaddress
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from accounts import permissions, private_files
from accounts.mfa import relying_party
from accounts.models import Role
from accounts.models.role import MfaPolicy

SAFE_BCRYPT_ROUNDS = 12
SAFE_KEY_LENGTH = 50
SAFE_KEY_CHARACTERS = 5


@register(Tags.security, deploy=True)
def check_hashing(**_options: Any) -> Iterator[CheckMessage]:
    if settings.BCRYPT_ROUNDS < SAFE_BCRYPT_ROUNDS:
        yield Error("BCRYPT_ROUNDS is under 12.", hint="Set it to 12 or more.", id="accounts.E001")


@register(Tags.security, deploy=True)
def check_limits(**_options: Any) -> Iterator[CheckMessage]:
    if not settings.RATE_LIMITS and not settings.TRUSTED_PROXIES:
        yield Error(
            "RATE_LIMITS is off, and no proxy limits requests instead.",
            hint="Set it to on.",
            id="accounts.E002",
        )
    if settings.PUBLIC_URL.startswith("https:") and not settings.TRUSTED_PROXIES:
        yield Warning(
            "PUBLIC_URL is https, but no proxy is trusted: all clients share their rate limits, and HSTS is not sent.",
            hint="Set TRUSTED_PROXIES to the number of proxies in front.",
            id="accounts.W001",
        )


@register(Tags.security, deploy=True)
def check_debugging(**_options: Any) -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error("DEBUG is on: error pages show code and settings.", hint="Set it to false.", id="accounts.E003")


@register(Tags.security, deploy=True)
def check_secret_key(**_options: Any) -> Iterator[CheckMessage]:
    """Django generates keys of 50 characters. A key with few different characters was typed, not generated."""
    key = str(settings.SECRET_KEY)
    if len(key) < SAFE_KEY_LENGTH or len(set(key)) < SAFE_KEY_CHARACTERS or "insecure" in key:
        hint = 'Unset it, or generate one: python -c "import secrets; print(secrets.token_urlsafe(64))"'
        yield Error("SECRET_KEY is short or easy to guess.", hint=hint, id="accounts.E004")


@register(Tags.security, deploy=True)
def check_addresses(**_options: Any) -> Iterator[CheckMessage]:
    if urlsplit(settings.PUBLIC_URL).scheme != "https":
        hint = "Use an https URL, and let a proxy in front terminate TLS."
        yield Error("PUBLIC_URL is http: passwords and tokens are sent unencrypted.", hint=hint, id="accounts.E005")
    if settings.FRONTEND_URL and urlsplit(settings.FRONTEND_URL).scheme != "https":
        yield Error(
            "FRONTEND_URL is http: one-time tokens are sent unencrypted.", hint="Use https.", id="accounts.E006"
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Error("ALLOWED_HOSTS allows any host.", hint="Set it to the hosts of PUBLIC_URL.", id="accounts.E007")
    for origin in settings.CORS_ALLOWED_ORIGINS:
        if urlsplit(origin).scheme != "https":
            yield Warning(
                f"CORS_ALLOWED_ORIGINS allows {origin}, which has no TLS.", hint="Use https.", id="accounts.W002"
            )


@register(Tags.security, deploy=True)
def check_files(**_options: Any) -> Iterator[CheckMessage]:
    """Other users can steal a key that they can read. If they can enter the folder, only modes protect its files."""
    folder: Path = settings.DATA_DIR
    secrets = [folder / "secret_key", folder / "encryption_keys", *(folder / "keys").glob("*.pem")]
    exposed = private_files.readable_by_others()
    for secret in secrets:
        if secret in exposed:
            hint = f"chmod 600 {secret}, and then replace it, because it may be known."
            yield Error(f"Other users can read {secret}.", hint=hint, id="accounts.E008")
    if others := [path for path in exposed if path not in secrets]:
        number, hint = len(others), f"chmod -R go= {folder}, or remove the files that aren't UserManager's."
        yield Warning(f"Other users can read {number} files of DATA_DIR: {others[0]}, …", hint=hint, id="accounts.W004")
    if folder.stat().st_mode & stat.S_IRWXO:
        yield Warning(f"Other users can enter DATA_DIR ({folder}).", hint=f"chmod 700 {folder}", id="accounts.W003")


@register(Tags.security, deploy=True)
def check_passkeys(**_options: Any) -> Iterator[CheckMessage]:
    """Browsers offer passkeys for domain names alone, and on pages of other domains only in newer versions."""
    domain = relying_party.domain()
    frontend = urlsplit(settings.FRONTEND_URL).hostname
    if _is_ip_address(domain.strip("[]")):
        hint = "Use a domain name in PUBLIC_URL."
        yield Warning(f"Passkeys can't be used at {domain}, an IP address.", hint=hint, id="accounts.W005")
    elif frontend and frontend != domain and not frontend.endswith(f".{domain}"):
        yield Warning(
            f"FRONTEND_URL is outside {domain}: some browsers don't offer the passkeys of {domain} there.",
            hint="Set PASSKEY_RP_ID to a domain that both hosts belong to. Passkeys that users have become useless.",
            id="accounts.W006",
        )


@register(Tags.security, deploy=True)
def check_roles(**_options: Any) -> Iterator[CheckMessage]:
    """A password alone must not suffice to manage users."""
    if names := [role.name for role in _roles() if role.mfa != MfaPolicy.REQUIRED and _manages(role)]:
        yield Warning(
            f"Users can manage UserManager without a second factor in these roles: {', '.join(names)}.",
            hint="Set their `mfa` to `required`.",
            id="accounts.W007",
        )


def _roles() -> list[Role]:
    """Returns all roles, or none if the database has no tables yet or can't be used, which other checks report.

    Does not connect to an SQLite database that does not exist, because that would create it.
    """
    if settings.IS_SQLITE and not Path(settings.DATABASE_FILE).exists():
        return []
    try:
        return list(Role.objects.order_by("name"))
    except DatabaseError:
        return []


def _manages(role: Role) -> bool:
    return any(map(permissions.is_own, role.permissions))


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
