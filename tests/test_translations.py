"""Each language has a catalogue with all texts that a user can read, and its compiled form is up to date."""

import ast
import html
import io
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils.translation.template import templatize

pytestmark = pytest.mark.xdist_group("sources")  # in one process, which reads each file once

ROOT = Path(__file__).parent.parent
APPS = ("accounts", "notifications", "usermanager")
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
}
LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]  # the code itself is in English
SENTENCE = re.compile(r"[A-Z]\S* .*[.?!]", re.DOTALL)
# Operators and programmers read English: commands, checks, logs, metrics, the documentation of the API.
OPERATORS = {
    "management",
    "transfer",
    "checks",
    "limiter",
    "metrics",
    "search",
    "settings",
    "supervisor",
    "smtp_diagnostics",
}
OPERATORS |= {"problem_responses"}  # it answers requests that are not HTTP, and so have no language
OPERATORS |= {"imported_hashers"}  # it logs settings that an operator has to change
OPERATORS |= {"registry"}  # `audit verify` prints its texts
OPERATORS |= {"pagination"}  # its texts are parts of the API documentation, in tables
DOCUMENTATION = {"description", "help_text"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_every_text_of_the_code_is_translated(app: str, language: str) -> None:
    translated = catalog(app, language)
    missing = sorted({first(message) for message in messages(app) if not translation(translated, message)})
    assert missing == []


@pytest.mark.parametrize("app", APPS)
def test_every_sentence_of_the_code_is_marked_for_translation(app: str) -> None:
    files = [path for path in (ROOT / app).rglob("*.py") if not {*path.parts, path.stem} & {*OPERATORS, "migrations"}]
    assert {
        f"{path.relative_to(ROOT)}: {text}" for path in files for text in unmarked(ast.parse(path.read_text()))
    } == set()


@pytest.mark.parametrize("app", APPS)
def test_every_word_of_a_page_is_marked_for_translation(app: str) -> None:
    """The emails are excluded: each language has its own templates."""
    pages = [path for path in (ROOT / app).rglob("*.html") if "templates/notifications" not in str(path)]
    assert {f"{path.relative_to(ROOT)}: {word}" for path in pages for word in words(path.read_text())} == set()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_the_catalogue_has_no_unused_text(app: str, language: str) -> None:
    used = {first(message) for message in messages(app)}
    assert [message.id for message in catalog(app, language) if message.id and first(message.id) not in used] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_placeholders_survive_the_translation(app: str, language: str) -> None:
    for message in catalog(app, language):
        assert not list(message.check(catalog(app, language))), message.id


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("app", APPS)
def test_the_compiled_catalogue_is_up_to_date(app: str, language: str) -> None:
    with folder(app, language).joinpath("django.mo").open("rb") as file:
        compiled = read_mo(file)
    assert texts(compiled) == texts(catalog(app, language))


def texts(translated: Catalog) -> dict[str, list[str]]:
    return {first(message.id): list(message.string or ()) for message in translated if message.id}


def folder(app: str, language: str) -> Path:
    return ROOT / app / "locale" / language / "LC_MESSAGES"


@cache
def catalog(app: str, language: str) -> Catalog:
    with folder(app, language).joinpath("django.po").open("rb") as file:
        return read_po(file, locale=language)


@cache
def messages(app: str) -> list[str | Sequence[str]]:
    """Returns the texts of an app's code and templates that are marked for translation."""
    found: list[str | Sequence[str]] = []
    for path in sorted((ROOT / app).rglob("*")):
        if path.suffix == ".py" and "migrations" not in path.parts:
            source = path.read_bytes()
        elif path.suffix in (".html", ".txt") and "templates" in path.parts:
            source = templatize(path.read_text()).encode()
        else:
            continue
        found += (message for _line, message, _comments, _context in extract("python", io.BytesIO(source), KEYWORDS))
    return found


def unmarked(tree: ast.Module) -> Iterator[str]:
    """Yields the sentences of the code that are neither in a call of gettext nor documentation."""
    marked: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in KEYWORDS:
            marked |= set(ast.walk(node))
        elif isinstance(node, ast.Expr) or (isinstance(node, ast.keyword) and node.arg in DOCUMENTATION):
            marked.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in marked and SENTENCE.fullmatch(str(node.value)):
            yield str(node.value)


def words(page: str) -> list[str]:
    """Returns the words of a template, and those of its attributes, that are not marked for translation."""
    marked = r"{% (blocktranslate|block bodyclass) .*?{% end(blocktranslate|block) %}"
    remaining = re.sub(rf"{marked}|{{#.*?#}}|{{%.*?%}}|{{{{.*?}}}}", "", page, flags=re.DOTALL)
    of_elements = re.findall(r'(?:alt|aria-label|placeholder|title)="([^"]*)"', remaining)
    return re.findall(r"[^\W\d]{2,}", " ".join([html.unescape(re.sub(r"<[^>]*>", " ", remaining)), *of_elements]))


def translation(translated: Catalog, message: str | Sequence[str]) -> bool:
    found = translated.get(first(message))
    if found is None or found.fuzzy:
        return False
    return all(found.string) if isinstance(found.string, tuple) else bool(found.string)


def first(message: str | Sequence[str]) -> str:
    return message if isinstance(message, str) else message[0]
