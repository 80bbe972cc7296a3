"""The services under attack, started once for each database, and the cast that lives in them.

They end with the last test of this package: their connections would be missing in later tests on PostgreSQL.
"""

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.attacks.service import (
    ADMIN_PASSWORD,
    GUNICORN,
    MANAGER,
    SERVE,
    Person,
    Service,
    log_in,
    register,
    started,
)
from tests.conftest import environment_of_database
from tests.whole.mail_server import MailServer, running_mail_server

_numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/attacks/"):
            item.add_marker(pytest.mark.process)
            parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
            item.add_marker(pytest.mark.xdist_group(f"attacks-{parameters.get('database')}"))  # on the same services


@pytest.fixture(scope="package", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Each of the two databases in turn, as the environment names it."""
    with environment_of_database(request.param) as variables:
        yield variables


@pytest.fixture(scope="package")
def data_dir(database: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacked") / "var"


@pytest.fixture(scope="package")
def office() -> Iterator[MailServer]:
    with running_mail_server() as office:
        yield office


@pytest.fixture(scope="package")
def service(database: dict[str, str], data_dir: Path, office: MailServer) -> Iterator[Service]:
    """The whole product without a proxy; of the limits, those of an account and of a mailbox stand."""
    with started(SERVE, data_dir, office, **database) as service:
        yield service
        service.manage("audit", "verify")  # whatever was done to it, the audit trail is whole


@pytest.fixture(scope="package")
def guarded(service: Service, database: dict[str, str]) -> Iterator[Service]:
    """A second web server on the same data as a careful operator runs it: behind a proxy, with low limits.

    Its hashes are slow enough for a difference to show.
    """
    careful = {
        "PUBLIC_URL": "https://id.example.com",
        "TRUSTED_PROXIES": "1",
        "EMAIL_VERIFICATION": "required",
        "BCRYPT_ROUNDS": "9",
        "CORS_ALLOWED_ORIGINS": "https://app.example.com",
        "LOG_FORMAT": "json",
        "RATE_LOGIN_IP": "20/1h",
        "RATE_LOGIN_ACCOUNT": "12/1d",
        "RATE_REGISTER": "10/1h",
        "RATE_MAIL_IP": "30/1h",
        "RATE_TOKEN": "20/1h",
        "FRESH_LOGIN_LIFETIME": "3s",
    }
    with started(GUNICORN, service.data_dir, service.office, **database | careful) as guarded:
        yield guarded


@pytest.fixture
def root(service: Service) -> Person:
    """The first administrator, in a new session."""
    return log_in(service, service.admin_email, ADMIN_PASSWORD)


@pytest.fixture
def ana(service: Service) -> Person:
    return register(service, "ana")


@pytest.fixture
def new_ana(service: Service) -> Callable[[], Person]:
    """One more of her each time."""
    return partial(register, service, "ana")


@pytest.fixture
def bruno(service: Service) -> Person:
    return register(service, "bruno")


@pytest.fixture
def with_role(service: Service, root: Person) -> Callable[..., Person]:
    """Makes a new user with a role of their own: with_role("dora", "users.view")."""

    def make(name: str, *permissions: str) -> Person:
        role = f"{name}-{secrets.token_hex(6)}"
        root.must(201, "POST", "roles/", name=role, permissions=list(permissions))
        person = register(service, name)
        root.must(200, "PATCH", f"users/{person.id}/", role=role, email_verified=True)
        return person

    return make


@pytest.fixture
def carla(with_role: Callable[..., Person]) -> Person:
    return with_role("carla", *MANAGER)


@pytest.fixture
def forwarded() -> dict[str, str]:
    """What the proxy says of a client that no other test is."""
    return from_ip(new_ip())


def new_ip() -> str:
    """An IP address that no other client has had, so that the limits of an address start at zero. Each is in another
    /24 than the one before.
    """
    number = next(_numbers)
    return f"100.64.{number % 256}.{number // 256}"


def from_ip(ip: str) -> dict[str, str]:
    return {"X-Forwarded-For": ip, "X-Forwarded-Proto": "https"}
