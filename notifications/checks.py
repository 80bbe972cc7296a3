"""Reports a mail template of the operator's that cannot be used, before a mail needs it."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.utils import translation

from notifications import mails, rendering


@register("templates")
def overridden_templates(**_: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"{rendering.overrides() / name} cannot be used: {type(fault).__name__}: {fault}",
            hint="Mend the file or take it away; until then the mail is made with ours.",
            id="notifications.W001",
        )
        for name, fault in _broken()
    ]


def _broken() -> Iterator[tuple[str, Exception]]:
    for language, _label in settings.LANGUAGES:
        for kind in mails.KINDS:
            for name in rendering.names(kind, language):
                if (rendering.overrides() / name).exists():
                    yield from _faults(kind, language, name)


def _faults(kind: str, language: str, name: str) -> Iterator[tuple[str, Exception]]:
    with translation.override(language):
        for context in mails.sample_contexts(kind):
            try:
                rendering.try_out(name, context)
            except rendering.FAULTS as fault:
                yield name, fault
                return
