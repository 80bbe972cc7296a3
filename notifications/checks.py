"""Reports, before a mail needs them, a template of the operator's that cannot be used and an unsafe way to send."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from textwrap import shorten
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils import translation

from notifications import mails, rendering

WORDS_LENGTH = 120  # some faults quote all that the template was given


@register("templates")
def overridden_templates(**_: Any) -> list[CheckMessage]:
    faults: dict[Path, Exception] = {}
    if rendering.overrides().is_dir():
        for path, fault in _broken():
            faults.setdefault(path, fault)
    return [
        Warning(
            f"{path} cannot be used: {type(fault).__name__}: {shorten(str(fault), WORDS_LENGTH)}",
            hint="Mend the file or take it away; until then the mails are made with ours.",
            id="notifications.W001",
        )
        for path, fault in faults.items()
    ]


@register(Tags.security, deploy=True)
def plain_smtp(**_: Any) -> Iterator[CheckMessage]:
    """Links and the mail server's password go over the network; to this machine itself they do not."""
    is_smtp = settings.EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend"
    if is_smtp and not (settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL) and not _is_here(settings.EMAIL_HOST):
        hint = "Write smtp+tls://… (STARTTLS) or smtp+ssl://…"
        yield Error(f"EMAIL_URL sends in clear to {settings.EMAIL_HOST}.", hint=hint, id="notifications.E001")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _broken() -> Iterator[tuple[Path, Exception]]:
    """Every mail is tried, as a file that several share may spoil one whose own files are ours."""
    for language, _label in settings.LANGUAGES:
        with translation.override(language):
            for kind in mails.KINDS:
                for name in rendering.names(kind, language):
                    yield from _faults(kind, name)


def _faults(kind: str, name: str) -> Iterator[tuple[Path, Exception]]:
    for context in mails.sample_contexts(kind):
        try:
            rendering.try_out(name, context)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the mail would be made with ours
            yield rendering.culprit(name, fault), fault
            return
