"""What several tests of accounts begin with."""

import pytest

from accounts import login
from accounts.models import Session, User


@pytest.fixture
def session(ana: User) -> Session:
    return login.open_session(ana)[0]
