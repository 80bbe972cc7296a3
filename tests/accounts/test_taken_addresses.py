"""An address that somebody has is refused, also when they leave before anybody can look who it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import addresses_change, registration, tokens, users
from accounts.errors import AddressTaken, InvalidToken
from accounts.models import OneTimeToken, User
from accounts.roles import ADMIN
from accounts.tokens import Purpose
from tests.conftest import PASSWORD

ADDRESS = "bruno@example.com"


@contextmanager
def bruno_leaving() -> Iterator[None]:
    """He has the address until the database has refused somebody else; when it is asked again, he is gone."""
    users.create(ADDRESS, actor=None)
    refusals: list[IntegrityError] = []

    def leave_after_a_refusal(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("SELECT") and refusals:
            refusals.clear()
            OneTimeToken.objects.filter(user__email_key=ADDRESS).delete()
            User.objects.filter(email_key=ADDRESS).delete()
        try:
            return execute(sql, *arguments)
        except IntegrityError as fault:
            refusals.append(fault)
            raise

    with connection.execute_wrapper(leave_after_a_refusal):
        yield


@pytest.fixture
def root(database: str) -> User:
    users.ensure_first_admin("root@example.com", PASSWORD)
    return User.objects.get(role__name=ADMIN)


def test_registering(database: str) -> None:
    with bruno_leaving(), pytest.raises(AddressTaken):
        registration.register(ADDRESS, PASSWORD)


def test_an_admin_who_makes_or_moves_a_user(root: User) -> None:
    with bruno_leaving(), pytest.raises(AddressTaken):
        users.create(ADDRESS, actor=root)
    User.objects.filter(email_key=ADDRESS).delete()
    ana = users.create("ana@example.com", actor=root)
    with bruno_leaving(), pytest.raises(AddressTaken):
        users.update(ana, actor=root, email=ADDRESS)


def test_confirming_a_change_of_address(root: User) -> None:
    with transaction.atomic():
        secret = tokens.issue(root, Purpose.EMAIL_CHANGE, request=uuid4(), email=ADDRESS)
    with bruno_leaving(), pytest.raises(InvalidToken):
        addresses_change.confirm(secret)


def test_another_fault_is_none_of_the_address(database: str) -> None:
    users.create(ADDRESS, actor=None, full_name="email_key")
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        User.objects.filter(email_key=ADDRESS).update(suspension_reason="email_key")
    assert not User.is_address_taken(raised.value)
