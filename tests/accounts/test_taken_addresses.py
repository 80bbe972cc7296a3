"""An address that a user has is rejected, even if that user is deleted before the error is examined."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import email_change, one_time_tokens, registration, users
from accounts.errors import AddressTaken, InvalidToken
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from accounts.permissions import ADMIN
from tests.conftest import PASSWORD

ADDRESS = "bruno@example.com"


@contextmanager
def bruno_leaving() -> Iterator[None]:
    """Bruno has the address until the database has rejected another user. At the next query, he is gone."""
    users.create(ADDRESS, actor=None)
    errors: list[IntegrityError] = []

    def delete_after_error(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("SELECT") and errors:
            errors.clear()
            OneTimeToken.objects.filter(user__email_key=ADDRESS).delete()
            User.objects.filter(email_key=ADDRESS).delete()
        try:
            return execute(sql, *arguments)
        except IntegrityError as error:
            errors.append(error)
            raise

    with connection.execute_wrapper(delete_after_error):
        yield


@pytest.fixture
def root(database: str) -> User:
    users.ensure_first_admin("root@example.com", PASSWORD)
    return User.objects.get(role__name=ADMIN)


def test_a_registration_is_rejected(database: str) -> None:
    with bruno_leaving(), pytest.raises(AddressTaken):
        registration.register(ADDRESS, PASSWORD)


def test_an_admin_cannot_create_or_move_a_user(root: User) -> None:
    with bruno_leaving(), pytest.raises(AddressTaken):
        users.create(ADDRESS, actor=root)
    User.objects.filter(email_key=ADDRESS).delete()
    ana = users.create("ana@example.com", actor=root)
    with bruno_leaving(), pytest.raises(AddressTaken):
        users.update(ana, actor=root, email=ADDRESS)


def test_the_confirmation_of_an_email_change_is_rejected(root: User) -> None:
    with transaction.atomic():
        secret = one_time_tokens.issue(root, Purpose.EMAIL_CHANGE, request=uuid4(), email=ADDRESS)
    with bruno_leaving(), pytest.raises(InvalidToken):
        email_change.confirm(secret)


def test_another_error_is_no_email_conflict(database: str) -> None:
    users.create(ADDRESS, actor=None, full_name="email_key")
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        User.objects.filter(email_key=ADDRESS).update(suspension_reason="email_key")
    assert not User.is_email_conflict(raised.value)
