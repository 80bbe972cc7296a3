"""Fixtures for requests to the panel."""

from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User


@pytest.fixture
def panel_of() -> Callable[[User], Client]:
    """Returns a client that is signed in as the user: panel_of(carla).get("/admin/")."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(autouse=True)
def fresh_numbers() -> Iterator[None]:
    """Clears the cache: the overview keeps its numbers for a minute."""
    cache.clear()
    yield
    cache.clear()
