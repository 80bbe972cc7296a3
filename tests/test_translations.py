"""Whatever an end user may read stands in the Spanish catalogue, and the compiled catalogue is the current one."""

import ast
import html
import io
import re
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
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}
SENTENCE = re.compile(r"[A-Z]\S* .*[.?!]", re.DOTALL)
# What operators and programmers read is in English: commands, checks, logs, metrics, the documentation of the API.
OPERATORS = {"management", "transfer", "checks", "hashing_gate", "metrics", "search", "settings", "supervisor", "trial"}
OPERATORS |= {"unread_requests"}  # it answers what is no HTTP and names no language
OPERATORS |= {"foreign_hashers"}  # it logs what an operator has to set
OPERATORS |= {"audit_registry"}  # `audit verify` says what it found
OPERATORS |= {"pagination"}  # what it documents stands in tables
DOCUMENTATION = {"description", "help_text"}


@pytest.mark.parametrize("app", APPS)
def test_every_text_of_the_code_is_translated(app: str) -> None:
    spanish = catalog(app)
    missing = sorted({first(message) for message in messages(app) if not translation(spanish, message)})
    assert missing == []


@pytest.mark.parametrize("app", APPS)
def test_every_sentence_of_the_code_asks_to_be_translated(app: str) -> None:
    files = [path for path in (ROOT / app).rglob("*.py") if not {*path.parts, path.stem} & {*OPERATORS, "migrations"}]
    assert {
        f"{path.relative_to(ROOT)}: {text}" for path in files for text in unasked(ast.parse(path.read_text()))
    } == set()


@pytest.mark.parametrize("app", APPS)
def test_every_word_of_a_page_asks_to_be_translated(app: str) -> None:
    """The texts of mails are templates of a language each."""
    pages = [path for path in (ROOT / app).rglob("*.html") if "templates/notifications" not in str(path)]
    assert {f"{path.relative_to(ROOT)}: {word}" for path in pages for word in words(path.read_text())} == set()


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


def unasked(tree: ast.Module) -> Iterator[str]:
    """Sentences of the code that are neither within a call of gettext nor documentation."""
    asked: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in KEYWORDS:
            asked |= set(ast.walk(node))
        elif isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg in DOCUMENTATION):
            asked.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in asked and SENTENCE.fullmatch(str(node.value)):
            yield str(node.value)


def words(page: str) -> list[str]:
    """What a template says, or says of an element, by itself."""
    asked = r"{% (blocktranslate|block bodyclass) .*?{% end(blocktranslate|block) %}"
    said = re.sub(rf"{asked}|{{#.*?#}}|{{%.*?%}}|{{{{.*?}}}}", "", page, flags=re.DOTALL)
    of_elements = re.findall(r'(?:alt|aria-label|placeholder|title)="([^"]*)"', said)
    return re.findall(r"[^\W\d]{2,}", " ".join([html.unescape(re.sub(r"<[^>]*>", " ", said)), *of_elements]))


def translation(spanish: Catalog, message: str | Sequence[str]) -> bool:
    found = spanish.get(first(message))
    if found is None or found.fuzzy:
        return False
    return all(found.string) if isinstance(found.string, tuple) else bool(found.string)


def first(message: str | Sequence[str]) -> str:
    return message if isinstance(message, str) else message[0]
