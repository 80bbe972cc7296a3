"""System checks: templates of the operator that cannot be used, and SMTP without encryption."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from textwrap import shorten
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils import translation

from notifications.content import composing, kinds, rendering

MESSAGE_LENGTH = 120  # some errors quote the whole context of the template


@register("templates")
def overridden_templates(**_: Any) -> list[CheckMessage]:
    errors: dict[Path, Exception] = {}
    if rendering.overrides().is_dir():
        for path, error in _broken():
            errors.setdefault(path, error)
    return [
        Warning(
            f"{path} cannot be used: {type(error).__name__}: {shorten(str(error), MESSAGE_LENGTH)}",
            hint="Correct or delete the file. Until then, emails use the built-in template.",
            id="notifications.W001",
        )
        for path, error in errors.items()
    ]


@register(Tags.security, deploy=True)
def plain_smtp(**_: Any) -> Iterator[CheckMessage]:
    """Links and the password of the mail server must not cross the network in clear text."""
    is_smtp = settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend"
    if is_smtp and not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL) and not _is_here(settings.EMAIL_HOST):
        hint = "Write smtp+tls://… (STARTTLS) or smtp+ssl://…"
        yield Error(f"EMAIL_URL sends unencrypted to {settings.EMAIL_HOST}.", hint=hint, id="notifications.E001")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _broken() -> Iterator[tuple[Path, Exception]]:
    """Renders every kind: a shared file of the operator can break an email whose own files are built in."""
    for language, _label in settings.LANGUAGES:
        with translation.override(language):
            for kind in kinds.KINDS:
                for name in rendering.file_names(kind, language):
                    yield from _errors(kind, name)


def _errors(kind: str, name: str) -> Iterator[tuple[Path, Exception]]:
    for context in composing.sample_contexts(kind):
        try:
            rendering.render_file(name, context)
        except Exception as error:  # noqa: BLE001 - any error makes the email use the built-in template
            yield rendering.broken_file(name, error), error
            return
