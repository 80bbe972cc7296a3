"""The examples and links of the README work, and it explains all variables and commands."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.usermanager.processes import PROJECT, clean_environment, free_port, running

README = (PROJECT / "README.md").read_text()
HERE = "http://localhost:8000"
BASH, CURL = shutil.which("bash"), shutil.which("curl")
ADMIN_PASSWORD = "four quiet admins nodding"


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The URL of the running product, with the default settings except the port and the cost of a hash."""
    port = free_port()
    environment = clean_environment(
        DATA_DIR=str(folder / "var"),
        PORT=str(port),
        ADMIN_PASSWORD=ADMIN_PASSWORD,
        BCRYPT_ROUNDS="4",
        LOG_LEVEL="warning",
    )
    with running([sys.executable, "manage.py", "serve"], environment, "Ctrl-C ends it"):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in place of the checkout. The tour looks for var/mail in it."""
    return tmp_path_factory.mktemp("checkout")


@pytest.mark.process
@pytest.mark.skipif(not (BASH and CURL), reason="the README's tour needs bash and curl: install them to run it")
def test_the_tour_works_as_pasted(url: str, folder: Path) -> None:
    tour = block("bash", after="## A tour").replace(HERE, url)
    done = subprocess.run([str(BASH)], input=tour, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.split() == ["201", "204", "200", "200", "202", "204", "200"], done.stdout
    registered, signed_in, me, *_ = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert registered["email"] == signed_in["user"]["email"] == me["email"]
    assert (registered["email_verified"], me["email_verified"]) == (False, True)
    mails = [file for file in (folder / "var" / "mail").iterdir() if not file.name.startswith(".")]  # those are drafts
    assert {file.suffix for file in mails} == {".eml"}


@pytest.mark.process
def test_another_service_checks_a_token_with_the_public_keys_alone(url: str) -> None:
    names: dict[str, Any] = {}
    exec(block("python", after="## Checking tokens").replace(HERE, url), names)  # noqa: S102 - our own README
    credentials = {"email": "admin@example.com", "password": ADMIN_PASSWORD}
    answer = requests.post(f"{url}/api/v1/auth/login/", json=credentials, timeout=10).json()
    found = names["claims"](answer["access"])
    assert found["sub"] == answer["user"]["id"]
    assert names["may"](found, "billing.refund")
    assert not names["may"](found | {"permissions": ["billing.void"]}, "billing.refund")
    with pytest.raises(names["jwt"].PyJWTError):
        names["claims"](answer["access"][:-8] + "AAAAAAAA")


@pytest.mark.parametrize("page", ["README.md", ".env.example"])
def test_every_variable_is_explained(page: str) -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (PROJECT / "usermanager" / "settings.py").read_text()))
    explained = set(re.findall(r"\b[A-Z_]{4,}\b", (PROJECT / page).read_text()))
    assert read
    assert not read - explained


def test_every_command_is_explained() -> None:
    [table] = re.findall(r"\n\| command \|.*?\n\n", README, re.DOTALL)
    for path in PROJECT.glob("*/management/commands/[a-z]*.py"):
        actions = re.findall(r'add_action\(\s*self\.\w+,\s*"([\w-]+)"', path.read_text())
        [row] = re.findall(rf"^\|[^|]*`{path.stem}\b[^|]*\|", table, re.MULTILINE)
        assert not set(actions) - set(re.findall(r"[\w-]+", row)), row


@pytest.mark.skipif(not BASH, reason="docker-compose.yml is filled in by bash here: install it")
@pytest.mark.parametrize(
    ("chosen", "url"),
    [
        ({}, "http://localhost:8000"),
        ({"PORT": "9000"}, "http://localhost:9000"),
        ({"PORT": "9000", "PUBLIC_URL": "https://id.example.com"}, "https://id.example.com"),
    ],
)
def test_links_to_containers_contain_the_published_port(chosen: dict[str, str], url: str) -> None:
    written = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["web"]["environment"][
        "PUBLIC_URL"
    ]
    filled = subprocess.run(
        [str(BASH), "-c", f'echo "{written}"'], env=chosen, capture_output=True, text=True, check=True
    )
    assert filled.stdout.strip() == url


def test_every_linked_page_exists() -> None:
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert links
    assert not [link for page, link in links if not (page.parent / link).exists()]


def block(language: str, *, after: str) -> str:
    """Returns the first block of code in this language after the heading."""
    found = re.search(rf"```{language}\n(.*?)```", README.partition(after)[2], re.DOTALL)
    assert found
    return found[1]
