"""Clients that common generators make from the API's document log in, refresh, change, log out and delete."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.service import Service, new_address
from tests.clients.conftest import run
from tests.conftest import OTHER_PASSWORD, PASSWORD

pytestmark = pytest.mark.process

AUTH_OPERATIONS = ("log_in", "exchange_a_refresh_token", "change_the_password", "log_out")
USERS_OPERATIONS = ("change_ones_own_account", "leave")
AS_MODULES = ("--additional-properties", "importFileExtension=.js")
COMPILE = ("node_modules/.bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck")


@pytest.fixture
def email(service: Service) -> str:
    """The address of an account with PASSWORD."""
    address = new_address("ana")
    service.must(201, "POST", "auth/register/", email=address, password=PASSWORD)
    return address


def test_openapi_python_client(
    service: Service, document: Path, email: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ("generate", "--path", str(document), "--meta", "none", "--output-path", "made_by_opc")
    run(_program("openapi-python-client"), *made, cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    load: Any = importlib.import_module
    package, models = load("made_by_opc"), load("made_by_opc.models")
    auth = {name: load(f"made_by_opc.api.auth.{name}").sync_detailed for name in AUTH_OPERATIONS}
    users = {name: load(f"made_by_opc.api.users.{name}").sync_detailed for name in USERS_OPERATIONS}
    client = package.Client(base_url=service.url)

    def log_in(password: str) -> Any:
        pair = auth["log_in"](client=client, body=models.LoginInputRequest(email=email, password=password)).parsed
        body = models.RefreshInputRequest(refresh=pair.refresh)
        renewed = auth["exchange_a_refresh_token"](client=client, body=body).parsed
        return package.AuthenticatedClient(base_url=service.url, token=renewed.access)

    session = log_in(PASSWORD)
    changes = models.PatchedOwnChangesRequest(full_name="Ana")
    assert users["change_ones_own_account"](client=session, body=changes).parsed.full_name == "Ana"
    body = models.ChangePasswordInputRequest(current_password=PASSWORD, new_password=OTHER_PASSWORD)
    assert auth["change_the_password"](client=session, body=body).status_code == 204
    assert auth["log_out"](client=session, body=models.LogoutInputRequest()).status_code == 204
    stale = users["change_ones_own_account"](client=session, body=changes)
    assert (stale.status_code, stale.parsed.code) == (401, "token_not_valid")
    body = models.LeaveInputRequest(current_password=OTHER_PASSWORD)
    assert users["leave"](client=log_in(OTHER_PASSWORD), body=body).status_code == 204


def test_openapi_generator_for_python(
    service: Service, document: Path, email: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _openapi_generator(document, "python", tmp_path, "--package-name", "made_by_generator")
    monkeypatch.syspath_prepend(tmp_path)
    package: Any = importlib.import_module("made_by_generator")
    anybody = package.ApiClient(package.Configuration(host=service.url))

    def log_in(password: str) -> tuple[Any, Any]:
        auth = package.AuthApi(anybody)
        pair = auth.log_in(package.LoginInputRequest(email=email, password=password))
        renewed = auth.exchange_a_refresh_token(package.RefreshInputRequest(refresh=pair.refresh))
        session = package.ApiClient(package.Configuration(host=service.url, access_token=renewed.access))
        return package.AuthApi(session), package.UsersApi(session)

    auth, users = log_in(PASSWORD)
    assert users.change_ones_own_account(package.PatchedOwnChangesRequest(full_name="Ana")).full_name == "Ana"
    body = package.ChangePasswordInputRequest(current_password=PASSWORD, new_password=OTHER_PASSWORD)
    assert auth.change_the_password_with_http_info(body).status_code == 204
    assert auth.log_out_with_http_info().status_code == 204
    with pytest.raises(package.exceptions.UnauthorizedException, match="token_not_valid"):
        users.see_ones_own_account()
    _auth, users = log_in(OTHER_PASSWORD)
    body = package.LeaveInputRequest(current_password=OTHER_PASSWORD)
    assert users.leave_with_http_info(body).status_code == 204


def test_openapi_generator_for_typescript(service: Service, document: Path, email: str, node_folder: Path) -> None:
    _openapi_generator(document, "typescript-axios", node_folder / "generated", *AS_MODULES)
    run("node", *COMPILE, "axios.ts", cwd=node_folder)
    run("node", "axios.js", service.url, email, PASSWORD, OTHER_PASSWORD, cwd=node_folder)


def test_openapi_typescript(service: Service, document: Path, email: str, node_folder: Path) -> None:
    run("node", "node_modules/.bin/openapi-typescript", str(document), "--output", "schema.d.ts", cwd=node_folder)
    run("node", *COMPILE, "fetch.ts", cwd=node_folder)
    run("node", "fetch.js", service.url, email, PASSWORD, OTHER_PASSWORD, cwd=node_folder)


def _openapi_generator(document: Path, kind: str, folder: Path, *options: str) -> None:
    made = ("generate", "--input-spec", str(document), "--generator-name", kind, "--output", str(folder), *options)
    run(_program("openapi-generator-cli"), *made, cwd=folder.parent)


def _program(name: str) -> str:
    """One that is installed beside this Python."""
    return str(Path(sys.executable).parent / name)
