"""Checks which modules may import which, as docs/architecture.md explains, and the length of files and functions."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.xdist_group("sources")  # in one process, which parses each file once

ROOT = Path(__file__).parents[1]
PACKAGES = ("usermanager", "notifications", "accounts")
FOLDERS = (*PACKAGES, "tests", "bench")

# A line may import only from lines below it. Each name is a room: a module, or a package whose files may import each
# other but not in a cycle. Indented rooms belong to the package above them.
ROWS = """
manage
usermanager
    management  urls  wsgi  gunicorn_config
    processes  bootstrap  early_rejections  error_handlers  preloading
    middleware
    health  metrics  logs  supervisor  worker_ready  bootstrap_lock  api_docs
    settings  web_server  sqlite
    environment  data_dir  prometheus_multiprocess  database_settings  postgres_pool  metrics_folder  forking
    log_settings  connection_urls
notifications
    apps
    receivers  admin  management  checks  tasks
    panel  actions
    sending
    content  outbox  metrics  housekeeping
    models
accounts
    apps
    api  admin  pages  backends  checks  management
    transfer
    passkey_login  passkey_registration
    second_factor  enrolment  factor_changes
    registration  email_verification  login  passwords  email_change  users  roles  personal_data
    listing
    invitations  deletion
    credentials  jwt
    suspension  known_networks
    sessions  freshness  encrypted_secrets
    mfa
    limits  forms
    one_time_tokens  audit  authorization
    models
    hashing
    metadata  validators  search  database_errors
    errors  permissions  signals  email_addresses  request_context  pruning  batches  encryption
    private_files
celery_app
"""

# The modules of accounts that notifications may import; docs/architecture.md gives the reasons.
KNOWN_OF_ACCOUNTS = {
    *("signals", "models", "one_time_tokens", "limits", "email_addresses"),
    *("management", "admin", "audit", "pruning", "batches", "database_errors"),
}

# Modules that a function may import, with the reason why not at the top of the file.
ALLOWED_IN_FUNCTIONS = {
    "rich": "takes longer to import than most commands take to run",
    "psycopg": "takes a tenth of the start of a command, and SQLite does not need it",
    "prometheus_client": "reads its folder from the environment when it is imported",
    "usermanager.early_rejections": "needs the apps, which gunicorn loads after its configuration",
    "usermanager.preloading": "needs the apps, which gunicorn loads after its configuration",
}

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_FUNCTION_LINES = 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    importer: str
    imported: str
    is_in_function: bool

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Returns the path of each module of the repository by its name, without migrations, which Django generates."""
    paths = [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {_name(path): path for path in sorted(paths) if "migrations" not in path.parts}


@cache
def parsed(path: Path) -> ast.Module:
    """Returns the syntax tree of a module of the product, which several tests read."""
    return ast.parse(path.read_text())


@cache
def imports() -> list[Import]:
    """Returns every import in these modules, also of libraries."""
    return [one for name, path in modules().items() for one in _imports(name, parsed(path))]


@cache
def own_imports() -> list[Import]:
    """Returns the imports of modules of this repository."""
    return [one for one in imports() if one.imported in modules() and one.imported != one.importer]


def test_every_file_is_in_a_row() -> None:
    missing = [name for name in modules() if not _is_bare_package(name) and _room(name) is None]
    assert not missing


def test_every_name_in_a_row_exists() -> None:
    assert not [room for room in _rooms() if room and room not in modules()]


def test_a_line_imports_only_from_lines_below_it() -> None:
    upwards = [str(one) for one in own_imports() if not _may_import(one.importer, one.imported)]
    assert not upwards


def test_imports_have_no_cycle() -> None:
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for one in own_imports():
        below[one.importer].add(one.imported)
    while free := {name for name, needed in below.items() if not needed}:
        below = {name: needed - free for name, needed in below.items() if name not in free}
    assert not below, f"some of these import each other in a cycle: {sorted(below)}"


def test_accounts_imports_no_other_package() -> None:
    assert not [
        str(one) for one in own_imports() if _is_in(one.importer, "accounts") and not _is_in(one.imported, "accounts")
    ]


def test_notifications_imports_only_the_listed_modules_of_accounts() -> None:
    known = {one for one in own_imports() if _is_in(one.importer, "notifications") and _is_in(one.imported, "accounts")}
    assert not [str(one) for one in known if one.imported.split(".")[1] not in KNOWN_OF_ACCOUNTS]
    assert {one.imported.split(".")[1] for one in known} == KNOWN_OF_ACCOUNTS, "a listed module is not imported"


def test_no_package_imports_usermanager() -> None:
    project = "usermanager"
    others = [one for one in own_imports() if not _is_in(one.importer, project) and one.importer != "manage"]
    assert not [str(one) for one in others if _is_in(one.imported, project)]


def test_functions_import_nothing_except_when_an_app_is_ready() -> None:
    inner = [one for one in imports() if one.is_in_function and not one.importer.endswith(".apps")]
    assert not [str(one) for one in inner if not {one.imported, one.imported.split(".")[0]} & set(ALLOWED_IN_FUNCTIONS)]


def test_imports_are_absolute() -> None:
    relative = [name for name, path in modules().items() if any(map(_is_relative, ast.walk(parsed(path))))]
    assert not relative


def test_files_are_short() -> None:
    files = (
        path
        for folder in FOLDERS
        for kind in ("py", "html", "css", "js")
        for path in (ROOT / folder).rglob(f"*.{kind}")
    )
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {name: length for name, length in lengths.items() if length > MAX_FILE_LINES}


def test_functions_are_short() -> None:
    for folder in FOLDERS:
        lengths = dict(_functions(folder))
        assert not {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES}
        assert folder not in PACKAGES or median(lengths.values()) <= MAX_MEDIAN_FUNCTION_LINES


def test_every_module_has_a_docstring() -> None:
    undocumented = [name for name, path in modules().items() if not _docstring(path) and path.read_text().strip()]
    assert not undocumented


def test_docs_architecture_has_the_same_rows() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert ROWS.strip() in page
    assert not [name for name in KNOWN_OF_ACCOUNTS if f"`{name}`" not in page]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(importer: str, tree: ast.Module) -> Iterator[Import]:
    within = {id(node) for function in ast.walk(tree) if isinstance(function, Function) for node in ast.walk(function)}
    for node in ast.walk(tree):
        for imported in _imported(node):
            yield Import(importer, imported, id(node) in within)


def _imported(node: ast.AST) -> Iterator[str]:
    """Yields accounts.audit for `from accounts import audit`, and accounts.models for names from accounts.models."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in modules() else node.module


def _is_relative(node: ast.AST) -> bool:
    return isinstance(node, ast.ImportFrom) and node.level > 0


@cache
def _rooms() -> dict[str, int]:
    """Returns the number of the row of each room, counted from the top."""
    rooms: dict[str, int] = {}
    package = ""
    for number, row in enumerate(ROWS.splitlines()):
        if row.startswith(" "):
            rooms |= {f"{package}.{room}": number for room in row.split()}
        elif (package := row) not in PACKAGES:
            rooms[package] = number
    return rooms


def _room(name: str) -> str | None:
    return next((room for room in _rooms() if _is_in(name, room)), None)


def _is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _is_bare_package(name: str) -> bool:
    """Returns whether an __init__.py contains at most a docstring."""
    return name in PACKAGES and len(parsed(modules()[name]).body) <= 1


def _may_import(importer: str, imported: str) -> bool:
    above, below = _room(importer), _room(imported)
    if above is None or below is None:
        return _is_bare_package(importer) or _is_bare_package(imported)
    return above == below or _rooms()[above] < _rooms()[below]


def _functions(folder: str) -> Iterator[tuple[str, int]]:
    """Yields each function with its number of lines, without decorators."""
    for path in (ROOT / folder).rglob("*.py"):
        if "migrations" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, Function):
                    yield f"{_name(path)}.{node.name}:{node.lineno}", (node.end_lineno or 0) - node.lineno + 1


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(parsed(path))
