"""What `manage.py check --deploy` refuses, or warns of, before this goes into production."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from accounts import private_files

SAFE_BCRYPT_ROUNDS = 12
SAFE_KEY_LENGTH = 50
SAFE_KEY_CHARACTERS = 5


@register(Tags.security, deploy=True)
def check_hashing(**_options: Any) -> Iterator[CheckMessage]:
    if settings.BCRYPT_ROUNDS < SAFE_BCRYPT_ROUNDS:
        yield Error("BCRYPT_ROUNDS is under 12.", hint="Write 12 or more.", id="accounts.E001")


@register(Tags.security, deploy=True)
def check_limits(**_options: Any) -> Iterator[CheckMessage]:
    if not settings.RATE_LIMITS and not settings.TRUSTED_PROXIES:
        yield Error("RATE_LIMITS is off and no proxy limits instead.", hint="Write on.", id="accounts.E002")
    if settings.PUBLIC_URL.startswith("https:") and not settings.TRUSTED_PROXIES:
        yield Warning(
            "PUBLIC_URL is https, but no proxy is trusted: to the limits all clients are one, and HSTS is not sent.",
            hint="Write into TRUSTED_PROXIES how many proxies are in front.",
            id="accounts.W001",
        )


@register(Tags.security, deploy=True)
def check_debugging(**_options: Any) -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield Error("DEBUG is on: faults show code and settings.", hint="Write false.", id="accounts.E003")


@register(Tags.security, deploy=True)
def check_secret_key(**_options: Any) -> Iterator[CheckMessage]:
    """A key as Django makes them has 50 characters; one with few different ones was typed, not made."""
    key = str(settings.SECRET_KEY)
    if len(key) < SAFE_KEY_LENGTH or len(set(key)) < SAFE_KEY_CHARACTERS or "insecure" in key:
        hint = 'Leave it out, or make one: python -c "import secrets; print(secrets.token_urlsafe(64))"'
        yield Error("SECRET_KEY is short or easy to guess.", hint=hint, id="accounts.E004")


@register(Tags.security, deploy=True)
def check_addresses(**_options: Any) -> Iterator[CheckMessage]:
    if urlsplit(settings.PUBLIC_URL).scheme != "https":
        hint = "Write an https address, and let a proxy in front end TLS."
        yield Error("PUBLIC_URL is http: passwords and tokens go in clear.", hint=hint, id="accounts.E005")
    if settings.FRONTEND_URL and urlsplit(settings.FRONTEND_URL).scheme != "https":
        yield Error("FRONTEND_URL is http: mailed tokens go in clear.", hint="Write https.", id="accounts.E006")
    if "*" in settings.ALLOWED_HOSTS:
        yield Error("ALLOWED_HOSTS takes any host.", hint="Name the hosts of PUBLIC_URL.", id="accounts.E007")
    for origin in settings.CORS_ALLOWED_ORIGINS:
        if urlsplit(origin).scheme != "https":
            yield Warning(f"CORS_ALLOWED_ORIGINS takes {origin} without TLS.", hint="Write https.", id="accounts.W002")


@register(Tags.security, deploy=True)
def check_files(**_options: Any) -> Iterator[CheckMessage]:
    """Keys that others may read prove nothing; a folder that others may enter depends on the mode of each file."""
    folder: Path = settings.DATA_DIR
    secrets = [folder / "secret_key", *(folder / "keys").glob("*.pem")]
    readable = private_files.readable()
    for secret in secrets:
        if secret in readable:
            hint = f"chmod 600 {secret}, and then make new ones, as these may be known."
            yield Error(f"Others may read {secret}.", hint=hint, id="accounts.E008")
    if others := [path for path in readable if path not in secrets]:
        number, hint = len(others), f"chmod -R go= {folder}, or take out what is not UserManager's."
        yield Warning(f"Others may read {number} files of DATA_DIR: {others[0]}, …", hint=hint, id="accounts.W004")
    if folder.stat().st_mode & stat.S_IRWXO:
        yield Warning(f"Others may enter DATA_DIR ({folder}).", hint=f"chmod 700 {folder}", id="accounts.W003")
