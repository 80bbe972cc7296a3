"""Of requests that use one challenge or one counter of a passkey at once, exactly one succeeds."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction

from accounts import enrolment, passkey_login, passkey_registration
from accounts.errors import InvalidSecondFactor, PasskeyCounterFell
from accounts.mfa import challenges, passkeys, pending_logins
from accounts.models import AuditEvent, Passkey, Session, User
from tests.authenticator import Authenticator
from tests.autocommit.scene import Scene
from tests.second_factors import add_passkey

CLIENTS = 6


def send_at_once(scene: Scene, path: str, bodies: list[dict[str, Any]]) -> Counter[int]:
    """Sends each body in a thread of its own, and returns how often each status was answered."""
    start = Barrier(len(bodies))

    def send(body: dict[str, Any]) -> int:
        client = scene.client()
        start.wait()
        try:
            return int(client.post(f"/api/v1/{path}", body, format="json").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(bodies)) as pool:
        return Counter(pool.map(send, bodies))


@pytest.fixture
def authenticator(scene: Scene) -> Authenticator:
    return add_passkey(scene.ana)


def sessions_of(user: User) -> int:
    return Session.objects.filter(user=user).count()


def test_one_answer_opens_one_session(scene: Scene, authenticator: Authenticator) -> None:
    body = {"passkey": authenticator.get(passkey_login.begin())}
    assert send_at_once(scene, "auth/passkey/", [body] * CLIENTS) == {200: 1, 401: CLIENTS - 1}
    assert sessions_of(scene.ana) == 1


def test_one_counter_opens_one_session(scene: Scene, authenticator: Authenticator) -> None:
    """As if each client had a copy of the passkey."""
    authenticator.counter = 7
    bodies = [{"passkey": authenticator.get(passkey_login.begin())} for _client in range(CLIENTS)]
    assert send_at_once(scene, "auth/passkey/", bodies) == {200: 1, 401: CLIENTS - 1}
    assert sessions_of(scene.ana) == 1
    assert AuditEvent.objects.filter(kind="passkey:counter_fell", user_id=scene.ana.pk).count() == CLIENTS - 1


def test_one_registration_adds_one_passkey(scene: Scene) -> None:
    token = pending_logins.begin(scene.ana, pending_logins.Purpose.ENROLMENT)
    options = passkey_registration.begin(enrolment.in_pending_login(token))
    bodies = [{"mfa_token": token, "passkey": Authenticator().create(options)} for _client in range(CLIENTS)]
    assert send_at_once(scene, "auth/passkeys/", bodies) == {201: 1, 400: CLIENTS - 1}
    assert Passkey.objects.filter(user=scene.ana).count() == sessions_of(scene.ana) == 1


def test_one_credential_is_added_to_one_user(scene: Scene) -> None:
    authenticator, bodies = Authenticator(), []
    for user in (scene.ana, scene.root):
        token = pending_logins.begin(user, pending_logins.Purpose.ENROLMENT)
        options = passkey_registration.begin(enrolment.in_pending_login(token))
        bodies.append({"mfa_token": token, "passkey": authenticator.create(options)})
    assert send_at_once(scene, "auth/passkeys/", bodies) == {201: 1, 409: 1}


@pytest.mark.parametrize(
    ("number", "between", "error"),
    [
        (0, lambda passkey: None, InvalidSecondFactor),
        (1, lambda passkey: None, PasskeyCounterFell),
        (1, lambda passkey: passkey.delete(), InvalidSecondFactor),
    ],
    ids=["the challenge was spent", "the counter grew", "the passkey was removed"],
)
def test_what_changed_since_the_check_is_seen(
    scene: Scene,
    authenticator: Authenticator,
    number: int,
    between: Callable[[Passkey], Any],
    error: type[InvalidSecondFactor],
) -> None:
    """Both requests have checked their answer before one of them uses it up."""
    authenticator.counter = 5
    passkey = Passkey.objects.get(user=scene.ana)
    answers = [authenticator.get(passkey_login.begin()) for _request in range(2)]
    first, second = (passkeys.check(passkey, answers[one], challenges.ANONYMOUS) for one in (0, number))
    with transaction.atomic():
        first.use_up()
    between(passkey)
    with pytest.raises(error) as raised, transaction.atomic():
        second.use_up()
    assert type(raised.value) is error
