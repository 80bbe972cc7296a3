"""Ana, her links and her browser."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts import tokens
from accounts.models import User
from accounts.models.identifiers import new_id
from tests.accounts.pages.mailed import (
    ANA,
    CHANGE,
    NEW_ANA,
    Case,
    Mailed,
)


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", email_verified=False)


@pytest.fixture
def mailed(ana: User) -> Mailed:
    """The secret of a link to the page, as it was mailed to Ana."""

    def issue(case: Case) -> str:
        email = NEW_ANA if case is CHANGE else ANA
        return tokens.issue(ana, case.purpose, request=new_id(), email=email)

    return issue


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)
