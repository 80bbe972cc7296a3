"""API clients of the administrators."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.signals import factor_removed, recovery_codes_made, second_factors_reset
from tests.second_factors import Phone, enrol


@pytest.fixture
def carlas(carla: User, client_of: Callable[[User], APIClient]) -> APIClient:
    """Returns the client of carla, who has all permissions about users except the one to assign roles."""
    return client_of(carla)


@pytest.fixture
def roots(root: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(root)


@pytest.fixture
def path(ana: User) -> str:
    return f"/api/v1/users/{ana.pk}/"


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    """Collects the signals about changed factors."""
    found: list[dict[str, Any]] = []

    def hear(sender: object, signal: Any, **arguments: Any) -> None:
        found.append(arguments)

    for signal in (factor_removed, recovery_codes_made, second_factors_reset):
        signal.connect(hear)
    yield found
    for signal in (factor_removed, recovery_codes_made, second_factors_reset):
        signal.disconnect(hear)


@pytest.fixture
def phone(ana: User) -> Phone:
    """Returns ana's authenticator app."""
    return enrol(ana)
