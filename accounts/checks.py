"""What `manage.py check --deploy` refuses about accounts in production."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

SAFE_BCRYPT_ROUNDS = 12


@register(Tags.security, deploy=True)
def check_hashing(**_options: Any) -> list[CheckMessage]:
    if settings.BCRYPT_ROUNDS >= SAFE_BCRYPT_ROUNDS:
        return []
    return [Error("BCRYPT_ROUNDS is under 12.", hint="Write 12 or more.", id="accounts.E001")]


@register(Tags.security, deploy=True)
def check_limits(**_options: Any) -> list[CheckMessage]:
    if settings.RATE_LIMITS or settings.TRUSTED_PROXIES:
        return []
    return [Error("RATE_LIMITS is off and no proxy limits instead.", hint="Write on.", id="accounts.E002")]
