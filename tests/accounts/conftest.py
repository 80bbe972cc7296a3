"""Fixtures of several tests of accounts."""

import pytest

from accounts import login
from accounts.mfa import proofs
from accounts.models import Session, User


@pytest.fixture
def session(ana: User) -> Session:
    return login.open_session(ana, proofs.PASSWORD)[0]
