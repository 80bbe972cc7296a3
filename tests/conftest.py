"""The cast: ana and bruno are users, carla manages users, root is the admin; and what they speak through."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts import access_tokens, login, roles
from accounts.models import Role, User

PASSWORD = "correct horse battery staple"
OTHER_PASSWORD = "staple battery horse correct"
MANAGER = ["users.view", "users.add", "users.change", "users.delete"]


@pytest.fixture
def person(db: None) -> Callable[..., User]:
    """Makes somebody: person("dora", role="support", is_active=False)."""

    def make(name: str, role: str = roles.USER, **fields: Any) -> User:
        fields = {"full_name": name.title(), "email": f"{name}@example.com", "email_verified": True} | fields
        user = User(role=Role.objects.get(name=role), **fields)
        user.set_password(PASSWORD)
        user.save()
        return user

    return make


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana")


@pytest.fixture
def bruno(person: Callable[..., User]) -> User:
    return person("bruno")


@pytest.fixture
def carla(person: Callable[..., User], role: Callable[..., Role]) -> User:
    role("manager", *MANAGER)
    return person("carla", role="manager")


@pytest.fixture
def root(person: Callable[..., User]) -> User:
    return person("root", role=roles.ADMIN)


@pytest.fixture
def role(db: None) -> Callable[..., Role]:
    """Makes a role: role("support", "users.view")."""

    def make(name: str, *permissions: str) -> Role:
        return Role.objects.create(name=name, permissions=sorted(permissions))

    return make


@pytest.fixture
def stranger() -> APIClient:
    """Somebody who is not signed in."""
    return APIClient()


@pytest.fixture
def client_of() -> Callable[[User], APIClient]:
    """A client signed in as the user, with a session of their own: client_of(ana).get("/api/v1/users/me/")."""

    def sign_in(user: User) -> APIClient:
        client = APIClient()
        session, _refresh = login.open_session(user)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
        return client

    return sign_in


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """Checks that an answer is the problem document of this status and code, and returns it."""
    assert response.status_code == status, (response.status_code, response.content)
    assert response["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert document["status"] == status
    return document
