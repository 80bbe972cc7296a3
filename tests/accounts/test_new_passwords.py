"""Every use case that sets a password counts the attempt before it scores the password."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_django import Settings

from accounts import invitations, one_time_tokens, passwords, registration, request_context, users
from accounts.errors import InvalidInput, Throttled
from accounts.hashing import hashers, password_policy
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from accounts.request_context import RequestContext
from tests.conftest import PASSWORD
from usermanager.environment import rate

WEAK = "password"
WAYS: dict[str, Callable[[User, str], object]] = {
    "registration": lambda _root, _token: registration.register("new@example.com", WEAK),
    "reset": lambda _root, token: passwords.reset(token, WEAK),
    "change": lambda root, _token: passwords.change(root, PASSWORD, WEAK, keep=None),
    "invitation": lambda _root, token: invitations.accept(token, WEAK),
    "administrator": lambda root, _token: users.create("new@example.com", actor=root, password=WEAK),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_new_password_counts_before_it_is_scored(
    way: str, ana: User, root: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMITS, settings.RATE_PASSWORD = True, rate("1/1h")
    allowed = 10 if way == "administrator" else 1
    judged: list[str] = []
    real = password_policy.StrengthValidator.validate

    def noting(validator: password_policy.StrengthValidator, password: str, user: object = None) -> None:
        judged.append(password)
        real(validator, password, user)

    monkeypatch.setattr(password_policy.StrengthValidator, "validate", noting)
    purpose = Purpose.INVITATION if way == "invitation" else Purpose.PASSWORD_RESET
    token = one_time_tokens.issue(ana, purpose, request=uuid4(), email=ana.email)
    context_token = request_context.current.set(RequestContext("192.0.2.1", request_id="r"))
    try:
        for _number in range(allowed):
            with pytest.raises(InvalidInput):
                WAYS[way](root, token)
        with pytest.raises(Throttled):
            WAYS[way](root, token)
    finally:
        request_context.current.reset(context_token)
    assert len(judged) == allowed
    assert OneTimeToken.objects.get().used_at is None


def test_only_a_function_that_counts_attempts_scores_passwords() -> None:
    """Another caller of the password policy would have to count attempts itself."""
    sources = {path: path.read_text() for path in Path(hashers.__file__).parents[1].rglob("*.py")}
    judging = [path.stem for path, text in sources.items() if re.search(r"password_policy\.validate\(|zxcvbn\(", text)]
    assert sorted(judging) == ["credentials", "password_policy"]
