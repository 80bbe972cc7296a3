"""A user adds their first second factor while a request with the password alone is being answered."""

from collections.abc import Callable

import pytest

from accounts import credentials, email_change, passwords, users
from accounts.errors import TokenNotValid
from accounts.models import User
from notifications.models import OutboxMail
from tests.conftest import OTHER_PASSWORD, PASSWORD
from tests.second_factors import enrol

pytestmark = pytest.mark.django_db
REQUESTS: dict[str, Callable[[User], object]] = {
    "change the address": lambda user: email_change.request(user, "thief@evil.example", PASSWORD),
    "change the password": lambda user: passwords.change(user, PASSWORD, OTHER_PASSWORD, keep=None),
    "leave": lambda user: users.delete_own(user, PASSWORD),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_request_changes_nothing(name: str, ana: User, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm = credentials.confirm_password

    def confirm_before_the_owner_enrols(user: User, password: str) -> None:
        confirm(user, password)
        enrol(User.objects.get(pk=user.pk))

    monkeypatch.setattr(credentials, "confirm_password", confirm_before_the_owner_enrols)
    with pytest.raises(TokenNotValid):
        REQUESTS[name](ana)
    ana.refresh_from_db()
    assert (ana.is_active, ana.mfa_enabled, ana.check_password(PASSWORD)) == (True, True, True)
    assert not OutboxMail.objects.filter(kind__in=["email_change", "password_changed"]).exists()
