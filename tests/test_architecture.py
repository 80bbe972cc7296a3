"""Who may import whom: ROWS, which docs/architecture.md explains; and how long files and functions may be."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("usermanager", "notifications", "accounts")
FOLDERS = (*PACKAGES, "tests", "bench")

# From top to bottom: a line may import only lines below it. Each name is a room: a module, or a package with all that
# is in it, where files may need each other but not in a circle. Indented rooms are in the package above them.
ROWS = """
manage
usermanager
    management  urls  wsgi  gunicorn_config
    children  preparation  middleware  faults
    health  metrics  logs  supervisor  worker_ready  web_worker  preparation_lock  api_docs
    settings  client_shares  client_socket  unread_requests
    environment  counts  database_settings  metrics_folder  request_framing
    connection_urls
notifications
    apps
    receivers  admin  management  checks
    panel  interventions
    relay
    publisher  crew  housekeeping
    tasks  doorbell
    delivery
    hold  trial
    mails  outbox  mail_server  mail_folder  metrics
    models  rendering  durability  refusals
accounts
    apps  urls
    api  admin  pages  backends  checks  management
    transfer  seeding
    registration  login  passwords  addresses_change  users  role_changes  personal_data
    filters
    invitations  deletion  rarity
    credentials  access_tokens
    suspension  known_networks
    sessions  throttling  forms
    tokens  audit  keys  authority
    audit_chain
    audit_registry
    models
    hashers  foreign_hashers  password_policy
    hashing_gate
    hashing_places
    metadata  names  search  spreadsheets  database_errors
    errors  roles  signals  addresses  origin  quotas  pruning  batches  private_files
celery_app
"""

# All that notifications may know of accounts; docs/architecture.md says why each is needed.
KNOWN_OF_ACCOUNTS = {
    *("signals", "models", "tokens", "throttling", "addresses"),
    *("management", "admin", "audit", "pruning", "batches", "database_errors"),
}

# What may be imported within a function, and why not at the top.
LATE = {
    "rich": "takes longer to import than most commands take to run",
    "prometheus_client": "reads its folder from the environment when it is imported",
    "usermanager.api_docs": "needs the apps, which gunicorn loads after its configuration",
}

LONGEST_FILE = 300
LONGEST_FUNCTION = 50
MEDIAN_FUNCTION = 7

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    importer: str
    imported: str
    is_late: bool

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its name; migrations are written by a program."""
    paths = [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {_name(path): path for path in sorted(paths) if "migrations" not in path.parts}


@cache
def imports() -> list[Import]:
    """Every import in our modules, of ours and of others'."""
    return [one for name, path in modules().items() for one in _imports(name, ast.parse(path.read_text()))]


@cache
def ours() -> list[Import]:
    return [one for one in imports() if one.imported in modules() and one.imported != one.importer]


def test_every_file_stands_in_a_row() -> None:
    homeless = [name for name in modules() if not _is_bare_package(name) and _room(name) is None]
    assert not homeless


def test_no_row_names_a_file_that_is_not_there() -> None:
    assert not [room for room in _rooms() if room and room not in modules()]


def test_a_line_imports_only_from_lines_below_it() -> None:
    upwards = [str(one) for one in ours() if not _may_import(one.importer, one.imported)]
    assert not upwards


def test_no_imports_go_in_a_circle() -> None:
    below: dict[str, set[str]] = {name: set() for name in modules()}
    for one in ours():
        below[one.importer].add(one.imported)
    while free := {name for name, needed in below.items() if not needed}:
        below = {name: needed - free for name, needed in below.items() if name not in free}
    assert not below, f"a circle goes through some of {sorted(below)}"


def test_accounts_knows_nothing_of_ours_but_itself() -> None:
    assert not [str(one) for one in ours() if _is_in(one.importer, "accounts") and not _is_in(one.imported, "accounts")]


def test_notifications_knows_of_accounts_only_what_it_must() -> None:
    known = {one for one in ours() if _is_in(one.importer, "notifications") and _is_in(one.imported, "accounts")}
    assert not [str(one) for one in known if one.imported.split(".")[1] not in KNOWN_OF_ACCOUNTS]
    assert {one.imported.split(".")[1] for one in known} == KNOWN_OF_ACCOUNTS, "one is allowed and not needed"


def test_nobody_imports_the_project_that_wires_the_apps() -> None:
    project = "usermanager"
    assert not [str(one) for one in ours() if _is_in(one.imported, project) and not _is_in(one.importer, project)]


def test_nothing_is_imported_within_a_function_except_when_an_app_is_ready() -> None:
    late = [one for one in imports() if one.is_late and not one.importer.endswith(".apps")]
    assert not [str(one) for one in late if not {one.imported, one.imported.split(".")[0]} & set(LATE)]


def test_imports_name_their_package() -> None:
    relative = [
        name for name, path in modules().items() if any(map(_is_relative, ast.walk(ast.parse(path.read_text()))))
    ]
    assert not relative


def test_files_are_short() -> None:
    ours = (
        path
        for folder in FOLDERS
        for kind in ("py", "html", "css", "js")
        for path in (ROOT / folder).rglob(f"*.{kind}")
    )
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in ours}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_functions_are_short() -> None:
    for folder in FOLDERS:
        lengths = dict(_functions(folder))
        assert not {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}
        assert folder not in PACKAGES or median(lengths.values()) <= MEDIAN_FUNCTION


def test_every_module_says_in_its_first_line_what_it_is_for() -> None:
    silent = [name for name, path in modules().items() if not _opening(path) and path.read_text().strip()]
    assert not silent


def test_the_page_on_the_architecture_has_the_same_rows() -> None:
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
    """`from accounts import audit` imports accounts.audit; `from accounts.models import User` accounts.models."""
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
    """Each room with the number of its row, counted from the top."""
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
    """An __init__.py that holds a docstring at most."""
    return name in PACKAGES and len(ast.parse(modules()[name].read_text()).body) <= 1


def _may_import(importer: str, imported: str) -> bool:
    above, below = _room(importer), _room(imported)
    if above is None or below is None:
        return _is_bare_package(importer) or _is_bare_package(imported)
    return above == below or _rooms()[above] < _rooms()[below]


def _functions(folder: str) -> Iterator[tuple[str, int]]:
    """Each function with its length, decorators aside."""
    for path in (ROOT / folder).rglob("*.py"):
        if "migrations" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, Function):
                    yield f"{_name(path)}.{node.name}:{node.lineno}", (node.end_lineno or 0) - node.lineno + 1


def _opening(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))
