"""Clients can't tell from the work of a rejection what exactly was wrong: statements and password hashes are the same,
and so are the responses.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.hashing import hashers
from accounts.mfa import passkey_options, pending_logins
from accounts.models import PendingLogin, RecoveryCode, TotpSecret, User
from tests.api.requests import full_response, post
from tests.authenticator import Authenticator
from tests.conftest import OTHER_PASSWORD
from tests.second_factors import add_passkey, enrol
from tests.statements import named

pytestmark = pytest.mark.django_db
SECOND = "auth/login/second-factor/"
UNKNOWN = "0000-0000-0000-0000-0000-0000"


class Work(NamedTuple):
    """What a request takes, and its whole response."""

    statements: list[str]
    hashes: int
    response: tuple[int, dict[str, str], bytes]


Measure = Callable[..., Work]
Answer = Callable[[dict[str, Any]], Any]  #: what a client sends, given the options of a passkey


@pytest.fixture
def measure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Sends a request and returns its work: measure("auth/login/", email="…", password="…")."""
    settings.RATE_LIMITS = True
    for name in ("RATE_LOGIN", "RATE_LOGIN_IP", "RATE_SECOND_FACTOR", "RATE_PASSKEY_IP"):
        setattr(settings, name, getattr(settings, name)._replace(limit=1000))
    calls: list[str] = []
    verify = hashers.verify

    def counted(password: str, encoded: str) -> tuple[bool, str]:
        calls.append(encoded)
        return verify(password, encoded)

    monkeypatch.setattr(hashers, "verify", counted)

    def send(path: str, **body: Any) -> Work:
        calls.clear()
        with CaptureQueriesContext(connection) as executed:
            answer = post(APIClient(), path, **body)
        assert answer.status_code in {400, 401}, answer.content
        statements = [named(query["sql"]) for query in executed.captured_queries]
        status, headers, content = full_response(answer)
        comparable = {name: value for name, value in headers.items() if not name.startswith("RateLimit")}
        return Work(statements, len(calls), (status, comparable, content))

    send("auth/login/", email="first@example.com", password="x")  # creates chains and counters
    return send


def test_of_a_wrong_password_whatever_the_account_has(measure: Measure, person: Callable[..., User]) -> None:
    for name in ("plain", "app", "passkey", "reset"):
        person(name)
    enrol(User.objects.get(email="app@example.com"))
    add_passkey(User.objects.get(email="passkey@example.com"))
    User.objects.filter(email="reset@example.com").update(mfa_reset_at=timezone.now())
    works = [
        measure("auth/login/", email=f"{name}@example.com", password="wrong")
        for name in ("unknown", "plain", "app", "passkey", "reset")
    ]
    assert works[0].hashes == 1
    assert works == [works[0]] * len(works)


def test_of_the_token_of_a_pending_login(measure: Measure, ana: User, bruno: User, carla: User) -> None:
    """It is unknown, expired, used up, ended by wrong codes, or one of an enrolment, or its user was suspended or has
    another password."""
    phone = enrol(ana)
    tokens = {name: pending_logins.begin(ana, PendingLogin.Purpose.LOGIN) for name in ("expired", "used", "ended")}
    tokens["enrolment"] = pending_logins.begin(ana, PendingLogin.Purpose.ENROLMENT)
    tokens |= {"suspended": pending_logins.begin(bruno, PendingLogin.Purpose.LOGIN)}
    tokens |= {"new password": pending_logins.begin(carla, PendingLogin.Purpose.LOGIN), "unknown": "x" * 43}
    now = timezone.now()
    change(tokens["expired"], expires_at=now - timedelta(seconds=1))
    change(tokens["used"], used_at=now)
    change(tokens["ended"], attempts=5)
    User.objects.filter(pk=bruno.pk).update(is_active=False)
    User.objects.filter(pk=carla.pk).update(password=hashers.make(OTHER_PASSWORD))
    works = {name: measure(SECOND, mfa_token=token, code=phone.code()) for name, token in tokens.items()}
    expected = works["unknown"]
    assert (expected.statements, expected.hashes) == (["SELECT pending login"], 0)
    assert works == dict.fromkeys(tokens, expected)


def change(token: str, **values: Any) -> None:
    assert PendingLogin.objects.filter(digest=pending_logins.digest_of(token)).update(**values)


def always(text: str) -> Answer:
    return lambda _options: text


def forged(key: Authenticator) -> Authenticator:
    """Returns an authenticator that claims to be this passkey, and has another key."""
    copy = Authenticator()
    copy.id, copy.handle = key.id, key.handle
    return copy


def test_of_a_wrong_proof_at_the_second_step(measure: Measure, ana: User, bruno: User) -> None:
    """A right proof that was used before, or that is another user's, takes the same work as any wrong one. The first of
    a window, which sends an email, is not compared."""
    phone, other = enrol(ana), enrol(bruno)
    keys = [Authenticator(), add_passkey(bruno), forged(add_passkey(ana))]
    TotpSecret.objects.filter(user=ana).update(last_step=2**31)
    RecoveryCode.objects.filter(user=ana).update(used_at=timezone.now())
    kinds: dict[str, list[Answer]] = {
        "code": [always(text) for text in ("x", "000000", phone.code(), other.code())],
        "recovery_code": [always(text) for text in (UNKNOWN, phone.recovery_codes[0], other.recovery_codes[0])],
        "passkey": [key.get for key in keys],
    }
    measure(SECOND, mfa_token=pending_logins.begin(ana, PendingLogin.Purpose.LOGIN), code="x")
    for kind, answers in kinds.items():
        works = []
        for answer in answers:
            token = pending_logins.begin(ana, PendingLogin.Purpose.LOGIN)
            options = passkey_options.for_second_factor(ana, pending_logins.digest_of(token))
            works.append(measure(SECOND, mfa_token=token, **{kind: answer(options)}))
        assert works[0].response[0] == 401
        assert works == [works[0]] * len(answers), kind


def test_of_a_wrong_passkey_of_a_login(measure: Measure, ana: User) -> None:
    """A passkey that is unknown, and one that is known and signs with another key."""
    keys = [Authenticator(), forged(add_passkey(ana))]
    works = [measure("auth/passkey/", passkey=key.get(passkey_options.for_login())) for key in keys]
    assert works[0].response[0] == 401
    assert works[0] == works[1]
