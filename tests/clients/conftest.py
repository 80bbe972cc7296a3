"""The product as a process, the document it serves, and the Node packages that the TypeScript clients need."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.client import Call
from tests.attacks.service import SERVE, Service, started
from tests.conftest import missing
from tests.whole.mail_server import running_mail_server

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_mail_server() as office, started(SERVE, tmp_path_factory.mktemp("served") / "var", office) as service:
        yield service


@pytest.fixture(scope="session")
def document(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's OpenAPI document as the product serves it."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(service.send(Call("GET", "/api/schema/")).content)
    return path


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our TypeScript and the packages that package-lock.json names."""
    folder = tmp_path_factory.mktemp("node")
    for name in (".npmrc", "package.json", "package-lock.json", "fetch.ts", "axios.ts"):
        shutil.copy(HERE / name, folder)
    run("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    return folder


def run(program: str, *arguments: str, cwd: Path) -> None:
    """Runs a program that has to end well."""
    path = shutil.which(program)
    if path is None:
        missing(program)
        return
    ended = subprocess.run([path, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
