"""Ana, her one-time tokens and her browser."""

from collections.abc import Callable

import pytest
from django.test import Client

from accounts import one_time_tokens
from accounts.models import User
from accounts.models.identifiers import new_id
from tests.accounts.pages.link_pages import (
    ANA,
    CHANGE,
    NEW_ANA,
    Case,
    TokenFor,
)
from tests.accounts.pages.second_factor_page import issue


@pytest.fixture
def ana(person: Callable[..., User]) -> User:
    return person("ana", email_verified=False)


@pytest.fixture
def token_for(ana: User) -> TokenFor:
    """Returns a token for the page, as a link emailed to Ana contains it."""

    def issue(case: Case) -> str:
        email = NEW_ANA if case is CHANGE else ANA
        return one_time_tokens.issue(ana, case.purpose, request=new_id(), email=email)

    return issue


@pytest.fixture
def secret(ana: User) -> str:
    """The token of the link with which Ana sets up a second factor."""
    return issue(ana)


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)
