"""The table of docs/architecture.md lists all private parts of libraries that the code uses, and they exist.

A part is private if its name begins with an underscore, or if its library does not document it. The scan finds names
with an underscore, overridden methods and every attribute of gunicorn. It cannot find other imported or read names
without an underscore; for these, it checks that the code uses each one in the table.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, TypeGuard

import pytest

from tests.test_architecture import PACKAGES, ROOT, modules, parsed

pytestmark = pytest.mark.xdist_group("sources")  # in the process of tests/test_architecture.py

HEADING = "## Private parts we rely on"

# Names with an underscore that their libraries document.
DOCUMENTED_UNDERSCORES = {
    *("_base_manager", "_default_manager", "_meta", "_state"),  # Django
    *("_asdict", "_exit", "_fields", "_replace", "_srcfile"),  # Python
}

# Methods that their libraries document for overriding. For the standard library, that is every method without an
# underscore.
DOCUMENTED_METHODS = {
    "django": {
        *("add_arguments", "create_parser", "execute", "handle"),  # BaseCommand
        *(
            "change_view",
            "changelist_view",
            "delete_view",
            "history_view",
            "response_add",
            "response_change",
        ),  # ModelAdmin
        *("delete_model", "get_changelist", "get_deleted_objects", "get_fields", "get_form", "get_ordering"),
        *("get_queryset", "get_readonly_fields", "get_search_results", "get_urls", "save_model"),
        *("has_add_permission", "has_change_permission", "has_delete_permission", "has_module_permission"),
        "has_view_permission",
        *("get_app_list", "has_permission", "register"),  # AdminSite, as is get_urls
        *("lookups", "queryset"),  # SimpleListFilter
        *("clean", "clean_old_password", "save"),  # forms
        *("delete", "get_by_natural_key", "pre_save"),  # models, as is save
        *("authenticate", "check_password", "get_user", "set_password"),  # django.contrib.auth
        *("decode", "encode", "harden_runtime", "must_update", "rounds", "safe_summary", "verify"),  # its hashers
        *(
            "count",
            "dispatch",
            "form_valid",
            "process_request",
            "ready",
            "send_messages",
        ),  # a paginator, view, middleware, app, backend
    },
    "drf_spectacular": {"get_description", "get_security_definition", "get_tags"},
    "drf_standardized_errors": {
        *("convert_known_exceptions", "format_exception", "get_headers", "get_response", "report_exception"),
    },
    "prometheus_client": {"collect"},
    "psycopg": {"connect", "execute"},
    "rest_framework": {
        *("dispatch", "get_paginated_response", "get_paginated_response_schema", "get_schema_operation_parameters"),
        *("get_authenticators", "get_content_negotiator", "get_parsers", "get_permissions", "get_renderers"),
        *("has_permission", "initial", "paginate_queryset", "parse", "render", "run_validation", "select_renderer"),
        *("to_internal_value", "to_representation", "validate"),
    },
    "rest_framework_simplejwt": {"authenticate", "get_token_backend", "lifetime", "verify"},
}
STANDARD_LIBRARY = {"_socket", "email", "json", "logging", "smtplib", "socket", "sqlite3"}

# gunicorn documents its settings and hooks, and no attribute of a worker or a connection.
GUNICORN = ("gunicorn.workers.gthread", "gunicorn.workers.base", "gunicorn.http.parser", "gunicorn.http.unreader")

# gunicorn_config is a file of settings, which changes the process that imports it.
SCANNED = sorted(modules().keys() - {"usermanager.gunicorn_config"})


class Use(NamedTuple):
    """A private name, and the module of this repository that uses it."""

    module: str
    name: str


class Row(NamedTuple):
    """A line of the table; `owner` is the module or class of the library that has the names."""

    owner: str
    names: list[str]
    modules: list[str]
    reason: str
    tests: list[str]


@cache
def table() -> list[Row]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition(f"\n{HEADING}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [_row([cell.strip() for cell in line.strip("|").split(" | ")]) for line in lines]


@cache
def uses() -> set[Use]:
    return {use for module in SCANNED for use in _uses(module)}


def test_the_table_names_every_private_part_that_the_code_uses() -> None:
    named = {Use(module, name) for row in table() for module in row.modules for name in row.names}
    assert not sorted(uses() - named), "add them to the table, or to the documented names if the library has them there"


def test_the_code_uses_every_private_part_that_the_table_names() -> None:
    rows = [(row, module) for row in table() for module in row.modules]
    assert not [(row.owner, module) for row, module in rows if not _names(module).intersection(row.names)]
    read = [(row, set().union(*map(_names, row.modules))) for row in table()]
    assert not [(row.owner, name) for row, used in read for name in row.names if name not in used]


def test_the_libraries_have_every_private_part_that_the_table_names() -> None:
    assert not [(row.owner, name) for row in table() for name in row.names if not _exists(row.owner, name)]


def test_every_row_of_the_table_has_a_reason_and_a_test() -> None:
    assert len(table()) > 20
    assert not [row.owner for row in table() if not (row.names and row.modules and row.reason and row.tests)]
    assert not [test for row in table() for test in row.tests if not _is_a_test(test)]


def test_the_scan_finds_each_kind_of_private_part() -> None:
    """Checks one name of each kind. A scan that finds nothing would pass the tests above."""
    assert {
        Use("accounts.admin.base", "_changeform_view"),  # called on self
        Use("accounts.admin.forms", "_post_clean"),  # overridden
        Use("accounts.admin.base", "log_addition"),  # overridden, undocumented
        Use("usermanager.postgres_pool", "_waiting"),  # read from another object
        Use("usermanager.web_server.worker", "nr_conns"),  # an attribute of gunicorn
    } <= uses()


def test_a_name_that_the_library_lacks_is_noticed() -> None:
    assert _exists("gunicorn.workers.gthread.ThreadWorker", "nr_conns")
    assert not _exists("gunicorn.workers.gthread.ThreadWorker", "nr_connections")
    assert not _exists("django.contrib.admin.ModelAdmin", "_changeform")


def _row(cells: list[str]) -> Row:
    owner, names, used_in, reason, tests = cells
    quoted = [re.findall(r"`([^`]+)`", cell) for cell in (names, used_in, tests)]
    return Row(owner.strip("`"), quoted[0], quoted[1], reason, quoted[2])


def _uses(module: str) -> Iterator[Use]:
    tree = _tree(module)
    own = _own_names(tree)
    for node in ast.walk(tree):
        names = {name for name in _underscored(node) if not _is_own(node, name, own)} - DOCUMENTED_UNDERSCORES
        yield from (Use(module, name) for name in names)
        if isinstance(node, ast.ClassDef):
            yield from (Use(module, name) for name in _overrides(module, node))
    if "gunicorn.workers" in modules()[module].read_text():
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        yield from (Use(module, name) for name in attributes & _names_of_gunicorn())


def _underscored(node: ast.AST) -> set[str]:
    """Returns the names with one leading underscore that this node imports or reads from an object."""
    found: list[str] = []
    if isinstance(node, ast.Attribute):
        found = [node.attr]
    elif isinstance(node, ast.ImportFrom):
        found = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    elif isinstance(node, ast.Import):
        found = [part for alias in node.names for part in alias.name.split(".")]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
        found = [str(part.value) for part in node.args[1:2] if isinstance(part, ast.Constant)]
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def _is_own(node: ast.AST, name: str, own: set[str]) -> bool:
    """Returns whether this repository defines the name: in the same module or, for `self` and `cls`, in any module."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "cls", "super()"):
        return name in own or name in _all_own_names()
    return name in own


def _own_names(tree: ast.AST) -> set[str]:
    """Returns the functions, classes and variables of a module, and the attributes that its classes set."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif _is_set_on_self(node):
            found.add(node.attr)
    return found


@cache
def _all_own_names() -> set[str]:
    """Returns the own names of all modules, without methods that override a library's, because super() calls those."""
    own = set().union(*(_own_names(_tree(name)) for name in SCANNED))
    classes = [(module, node) for module in SCANNED for node in ast.walk(_tree(module))]
    return own.difference(*(_overrides(module, node) for module, node in classes if isinstance(node, ast.ClassDef)))


def _overrides(module: str, node: ast.ClassDef) -> Iterator[str]:
    """Yields the methods of a class that override an undocumented method of a library."""
    owner = getattr(importlib.import_module(module), node.name, None)
    for name in _body(node):
        library = _library(owner, name)
        if library and not _is_documented(library, name):
            yield name


def _body(node: ast.ClassDef) -> Iterator[str]:
    """Yields the methods of the class, and the names with an underscore that it assigns."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("__"):
            yield inner.name
        elif isinstance(inner, ast.Assign):
            yield from (one.id for one in inner.targets if isinstance(one, ast.Name) and one.id.startswith("_"))


def _library(owner: Any, name: str) -> str | None:
    """Returns the library of the nearest base class outside our packages that has the name."""
    bases = owner.__mro__[1:] if isinstance(owner, type) else ()
    libraries = [base.__module__.split(".")[0] for base in bases if name in vars(base)]
    return next((library for library in libraries if library not in PACKAGES), None)


def _is_documented(library: str, name: str) -> bool:
    return not name.startswith("_") and (library in STANDARD_LIBRARY or name in DOCUMENTED_METHODS.get(library, ()))


@cache
def _names_of_gunicorn() -> set[str]:
    """Returns the methods and attributes of gunicorn's classes."""
    trees = [ast.parse(inspect.getsource(importlib.import_module(name))) for name in GUNICORN]
    methods = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    attributes = {node.attr for tree in trees for node in ast.walk(tree) if _is_set_on_self(node)}
    return {name for name in methods | attributes if not name.startswith("__")}


def _is_set_on_self(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"


@cache
def _names(module: str) -> set[str]:
    """Returns every name that a module reads from an object, imports or gives to a function."""
    fields = [(ast.Attribute, "attr"), (ast.alias, "name"), (ast.FunctionDef, "name"), (ast.Name, "id")]
    found = {getattr(node, name) for node in ast.walk(_tree(module)) for kind, name in fields if isinstance(node, kind)}
    return found | {str(node.value) for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant)}


def _tree(module: str) -> ast.Module:
    return parsed(modules()[module])


def _exists(owner: str, name: str) -> bool:
    """Returns whether the library's module or class has the name, or its class sets it on instances."""
    module, _dot, qualified = owner, "", ""
    while True:
        try:
            found: Any = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _dot, last = module.rpartition(".")
            qualified = f"{last}.{qualified}" if qualified else last
    for part in filter(None, qualified.split(".")):
        found = getattr(found, part)
    return hasattr(found, name) or any(name in _set_attributes(base) for base in getattr(found, "__mro__", ()))


def _set_attributes(owner: type) -> set[str]:
    """Returns the attributes that the methods of a class set on its instances."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError):  # a class written in C has no source
        return set()
    return {node.attr for node in ast.walk(tree) if _is_set_on_self(node)}


def _is_a_test(test: str) -> bool:
    """Returns whether `tests/x/test_y.py` or `tests/x/test_y.py::test_z` exists."""
    path, _colons, function = test.partition("::")
    file = ROOT / path
    return file.is_file() and (not function or f"def {function}(" in file.read_text())
