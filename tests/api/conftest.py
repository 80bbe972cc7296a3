"""Who speaks to the API."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import User


@pytest.fixture
def carlas(carla: User, client_of: Callable[[User], APIClient]) -> APIClient:
    """Carla's client: she holds all permissions about users, and may not hand out roles."""
    return client_of(carla)


@pytest.fixture
def roots(root: User, client_of: Callable[[User], APIClient]) -> APIClient:
    return client_of(root)


@pytest.fixture
def path(ana: User) -> str:
    return f"/api/v1/users/{ana.pk}/"
