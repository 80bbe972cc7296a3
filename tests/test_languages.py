"""settings.LANGUAGES is the only list of languages. A new language takes a line there, catalogues and templates."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import User

ROOT = Path(__file__).parents[1]
PACKAGES = ("accounts", "notifications", "usermanager")
CODES = dict(settings.LANGUAGES)
LIST = {"usermanager/settings.py"}
SAMPLES = {"accounts/transfer/seeding.py": "names of fake users, which a language may lack"}
COLLECTIONS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
IN_WORDS = re.compile(rf"\b({'|'.join(CODES)})\b(, | or | and )({'|'.join(CODES)})\b")


def test_languages_are_listed_only_in_the_settings() -> None:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)
    found = {str(path.relative_to(ROOT)) for path in files if any(lists_of_languages(path.read_text()))}
    assert found - set(SAMPLES) == LIST


@pytest.mark.parametrize(
    "source",
    [
        '("en", "es")',
        '{"es", "en"}',
        'LOCALES = [("en", "English"), ("es", "Español")]',
        'FIRST_WORDS = {"en": "Hello", "es": "Hola"}',
        'hint = "write en or es"',
        '"""The language of a user: en, es."""',
    ],
)
def test_a_second_list_is_found(source: str) -> None:
    assert list(lists_of_languages(source))


@pytest.mark.parametrize("source", ['{"full_name": "Ana", "locale": "es"}', '"en"', 'when("es") or when("en")'])
def test_a_single_language_is_no_list(source: str) -> None:
    assert not list(lists_of_languages(source))


def test_a_new_language_needs_no_migration() -> None:
    """The migration names the function that returns the languages, so it stays valid for others."""
    _name, _path, _arguments, options = User._meta.get_field("locale").deconstruct()
    assert callable(options["choices"])
    assert options["choices"]() == settings.LANGUAGES


def lists_of_languages(source: str) -> Iterator[ast.AST]:
    """Yields collections that contain two language codes, and texts that name two."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, COLLECTIONS):
            texts = {text for part in _items(node) for text in _texts(part)}
            if len(texts & set(CODES)) > 1:
                yield node
        elif isinstance(node, ast.Constant) and IN_WORDS.search(str(node.value)):
            yield node


def _items(collection: ast.AST) -> list[ast.expr]:
    if isinstance(collection, ast.Dict):
        return [key for key in collection.keys if key is not None]
    return list(collection.elts) if isinstance(collection, (ast.List, ast.Tuple, ast.Set)) else []


def _texts(item: ast.expr) -> Iterator[str]:
    """Yields the text of an item, or the texts of a nested collection."""
    if isinstance(item, ast.Constant):
        yield str(item.value)
    for part in _items(item):
        yield from _texts(part)
