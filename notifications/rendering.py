"""Turns templates into subject, text and HTML; a file of the same name in DATA_DIR/templates/ stands in for ours."""

import logging
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import css_inline
from django.conf import settings
from django.template import Context, Engine

OURS = Path(__file__).parent / "templates"
PARTS = ("subject.txt", "body.txt", "body.html")

log = logging.getLogger(__name__)
_inliner = css_inline.CSSInliner(load_remote_stylesheets=False)


def render(kind: str, language: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML of a mail. An operator's file that cannot be used is logged, and ours is used."""
    subject, text, html = (_render(name, context) for name in names(kind, language))
    return subject, text, html


def names(kind: str, language: str) -> list[str]:
    return [f"notifications/{language}/{kind}/{part}" for part in PARTS]


def overrides() -> Path:
    """Where an operator puts files of their own."""
    return Path(settings.DATA_DIR) / "templates"


def try_out(name: str, context: dict[str, Any]) -> str:
    """One file, as the operator or we wrote it. What it raises may quote the context."""
    folder = overrides()
    return _render_with(_engine(folder if os.path.lexists(folder) else None), name, context)


def culprit(name: str, fault: Exception) -> Path:
    """Which file of the operator's is to blame for a fault of this one, as they may share parts.

    Where nobody can say, because a part could not even be read, it is their folder.
    """
    named = Path(getattr(fault, "template_debug", {}).get("name", ""))
    if overrides() in named.parents:
        return named
    return overrides() / name if (overrides() / name).exists() else overrides()


def _render(name: str, context: dict[str, Any]) -> str:
    try:
        return try_out(name, context)
    except Exception as fault:  # noqa: BLE001 - the mail goes, whatever somebody else wrote
        log.error("%s cannot be used (%s); ours is used instead.", culprit(name, fault), type(fault).__name__)
        return _render_with(_engine(None), name, context)


def _render_with(engine: Engine, name: str, context: dict[str, Any]) -> str:
    is_html = name.endswith(".html")
    rendered = engine.get_template(name).render(Context(context, autoescape=is_html))
    if is_html:
        return _inliner.inline(rendered)
    if name.endswith("subject.txt"):
        return " ".join(rendered.split())
    return re.sub(r"\n{3,}", "\n\n", rendered.strip()) + "\n"


@lru_cache(maxsize=4)
def _engine(folder: Path | None) -> Engine:
    """Our files are compiled once; an operator's are read each time, so that a change shows at once."""
    filesystem = "django.template.loaders.filesystem.Loader"
    ours = ("django.template.loaders.cached.Loader", [(filesystem, [OURS])])
    if folder is None:
        return Engine(loaders=[ours])
    return Engine(loaders=[(filesystem, [folder]), ours], debug=True)  # faults then name the file they are in
