"""Whatever an end user may read stands in the Spanish catalogue, and the compiled catalogue is the current one."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).parent.parent
APPS = ("accounts", "notifications", "usermanager")
KEYWORDS = {"_": None, "gettext": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2)}


@pytest.mark.parametrize("app", APPS)
def test_every_text_of_the_code_is_translated(app: str) -> None:
    spanish = catalog(app)
    missing = sorted({first(message) for message in messages(app) if not translation(spanish, message)})
    assert missing == []


@pytest.mark.parametrize("app", APPS)
def test_nothing_is_translated_that_nobody_says(app: str) -> None:
    said = {first(message) for message in messages(app)}
    assert [message.id for message in catalog(app) if message.id and first(message.id) not in said] == []


@pytest.mark.parametrize("app", APPS)
def test_placeholders_survive_the_translation(app: str) -> None:
    for message in catalog(app):
        assert not list(message.check(catalog(app))), message.id


@pytest.mark.parametrize("app", APPS)
def test_the_compiled_catalogue_is_the_written_one(app: str) -> None:
    with folder(app).joinpath("django.mo").open("rb") as file:
        compiled = read_mo(file)
    assert texts(compiled) == texts(catalog(app))


def texts(spanish: Catalog) -> dict[str, list[str]]:
    return {first(message.id): list(message.string or ()) for message in spanish if message.id}


def folder(app: str) -> Path:
    return ROOT / app / "locale" / "es" / "LC_MESSAGES"


def catalog(app: str) -> Catalog:
    with folder(app).joinpath("django.po").open("rb") as file:
        return read_po(file, locale="es")


def messages(app: str) -> Iterator[str | Sequence[str]]:
    """What the code and the templates of an app ask to be translated."""
    for path in sorted((ROOT / app).rglob("*")):
        if path.suffix == ".py" and "migrations" not in path.parts:
            source = path.read_bytes()
        elif path.suffix in (".html", ".txt") and "templates" in path.parts:
            source = templatize(path.read_text()).encode()
        else:
            continue
        yield from (message for _line, message, _comments, _context in extract("python", io.BytesIO(source), KEYWORDS))


def translation(spanish: Catalog, message: str | Sequence[str]) -> bool:
    found = spanish.get(first(message))
    if found is None or found.fuzzy:
        return False
    return all(found.string) if isinstance(found.string, tuple) else bool(found.string)


def first(message: str | Sequence[str]) -> str:
    return message if isinstance(message, str) else message[0]
