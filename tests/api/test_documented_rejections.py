"""The OpenAPI document names the rejections: it names the permission of each operation, and the errors of a client that
is not signed in, of one with an invalid token, and of one whose login is not fresh.

tests/api/test_second_factor_policy.py does so for a user who must add a second factor. Besides, each test that calls
`refused` checks that the document names the code.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import permissions
from accounts.jwt import access_tokens
from accounts.models import Role, Session, User
from accounts.models.role import MfaPolicy
from tests.api.routes import ANA_ID, UNSAFE, Operation, operations
from tests.second_factors import enrol, signed_in

pytestmark = pytest.mark.django_db
of_each_operation = pytest.mark.parametrize("operation", operations("GET", *UNSAFE), ids=str)


@pytest.fixture(autouse=True)
def _rows(person: Callable[..., User], role: Callable[..., Role]) -> None:
    """Creates what the paths name."""
    person("bea", id=ANA_ID)
    role("support", "users.view")


def bodies(operation: Operation) -> Iterator[dict[str, Any]]:
    """Yields the example and, if it has a policy for second factors, one with each, or one that confirms an address."""
    yield operation.body
    if "email_verified" in operation.fields:
        yield operation.body | {"email_verified": True}
    for policy in MfaPolicy.values if "mfa" in operation.fields else ():
        yield operation.body | {"mfa": policy}


def codes(client: APIClient, operation: Operation) -> set[str]:
    """Sends each body, rolls back what it does, and returns the codes of the errors."""
    found = set()
    for body in bodies(operation):
        with transaction.atomic():
            answer = client.generic(operation.verb, operation.path, json.dumps(body), "application/json")
            transaction.set_rollback(True)
        if answer.status_code >= 400:
            found.add(answer.json()["code"])
    return found


def is_documented(code: str, operation: Operation) -> bool:
    return code in operation.errors


@of_each_operation
def test_of_a_client_without_an_access_token(operation: Operation, stranger: APIClient) -> None:
    code = "not_authenticated"
    assert (codes(stranger, operation) == {code}) is is_documented(code, operation)


@of_each_operation
def test_of_a_client_with_an_invalid_access_token(operation: Operation, stranger: APIClient) -> None:
    """Operations whose body has a token get their example, which is not valid either."""
    stranger.credentials(HTTP_AUTHORIZATION="Bearer x")
    code = "token_not_valid"
    assert (codes(stranger, operation) == {code}) is is_documented(code, operation)


@of_each_operation
def test_of_a_login_that_is_not_fresh(operation: Operation, root: User) -> None:
    """Of another user's account, or of one's own by its id."""
    enrol(root)
    client = signed_in(root)
    Session.objects.filter(user=root).update(created_at=timezone.now() - timedelta(hours=1))
    session = Session.objects.select_related("user__role").get(user=root)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
    code = "fresh_login_required"
    own = operation._replace(path=operation.path.replace(ANA_ID, str(root.pk)))
    assert (code in codes(client, operation) | codes(client, own)) is is_documented(code, operation)


@of_each_operation
def test_of_a_user_without_the_permission(
    operation: Operation, person: Callable[..., User], role: Callable[..., Role], root: User
) -> None:
    """The user has all permissions of UserManager but the one that the document names. Root has that one, too."""
    needed = re.findall(r"equires the permission `([a-z.]+)`", operation.description)
    assert bool(needed) is is_documented("permission_denied", operation)
    if not needed:
        return
    [permission] = needed
    role("nearly", *(set(permissions.PERMISSIONS) - {permission}))
    assert codes(signed_in(person("carla", role="nearly")), operation) <= {"permission_denied", "not_found"}
    assert "permission_denied" not in codes(signed_in(root), operation)
