"""The panel as people meet it in their browsers."""

from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User


@pytest.fixture
def panel_of() -> Callable[[User], Client]:
    """A browser signed in to the panel as the user: panel_of(carla).get("/admin/")."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture(autouse=True)
def fresh_numbers() -> Iterator[None]:
    """The overview remembers for a minute what it counted."""
    cache.clear()
    yield
    cache.clear()
