"""Renders templates to subject, text and HTML. A file in DATA_DIR/templates/ overrides the built-in one of its name."""

import logging
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import css_inline
from django.conf import settings
from django.template import Context, Engine

BUILT_IN = Path(__file__).parents[1] / "templates"
PARTS = ("subject.txt", "body.txt", "body.html")

log = logging.getLogger(__name__)
_inliner = css_inline.CSSInliner(load_remote_stylesheets=False)


def render(kind: str, language: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Returns subject, text and HTML. If a file of the operator cannot be used, logs that and uses the built-in one."""
    subject, text, html = (_render(name, context) for name in file_names(kind, language))
    return subject, text, html


def file_names(kind: str, language: str) -> list[str]:
    return [f"notifications/{language}/{kind}/{part}" for part in PARTS]


def overrides() -> Path:
    """Returns the folder of the operator's files."""
    return Path(settings.DATA_DIR) / "templates"


def render_file(name: str, context: dict[str, Any]) -> str:
    """Renders the operator's file or the built-in one. Its errors may quote the context, secrets included."""
    folder = overrides()
    return _render_with(_engine(folder if os.path.lexists(folder) else None), name, context)


def broken_file(name: str, error: Exception) -> Path:
    """Returns the file of the operator that caused the error: the template itself, or a part that it includes.

    Returns their folder if that is unknown, because a part could not even be read.
    """
    named = Path(getattr(error, "template_debug", {}).get("name", ""))
    if overrides() in named.parents:
        return named
    return overrides() / name if (overrides() / name).exists() else overrides()


def _render(name: str, context: dict[str, Any]) -> str:
    try:
        return render_file(name, context)
    except Exception as error:  # noqa: BLE001 - the email goes out, whatever the operator wrote
        log.error(
            "%s cannot be used (%s); the built-in template is used instead.",
            broken_file(name, error),
            type(error).__name__,
        )
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
    """Built-in files are compiled once. An operator's are read each time, so that a change shows at once."""
    filesystem = "django.template.loaders.filesystem.Loader"
    built_in = ("django.template.loaders.cached.Loader", [(filesystem, [BUILT_IN])])
    if folder is None:
        return Engine(loaders=[built_in])
    return Engine(loaders=[(filesystem, [folder]), built_in], debug=True)  # errors then name their file
