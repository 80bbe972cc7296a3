"""An answer of an authenticator that is wrong in one way is rejected, and changes nothing."""

import random
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent, Passkey, Session, SpentChallenge, User
from tests.api.test_passkeys import post, register, sign_in
from tests.authenticator import BE, BS, EDDSA, ES256, RS256, UP, UV, Authenticator, decoded, encoded
from tests.conftest import PASSWORD, refused
from tests.second_factors import add_passkey

pytestmark = pytest.mark.django_db
Clients = Callable[[User], APIClient]
FUZZED = 250  # mutations of each kind of answer


@pytest.fixture
def authenticator(ana: User) -> Authenticator:
    return add_passkey(ana)


WRONG: dict[str, dict[str, Any]] = {
    "a foreign origin": {"origin": "https://evil.example"},
    "a subdomain": {"origin": "http://www.localhost:8000"},
    "another port": {"origin": "http://localhost:8001"},
    "another scheme": {"origin": "https://localhost:8000"},
    "a foreign domain": {"rp_id": "evil.example"},
    "no user present": {"flags": UV},
    "synced but not able to be": {"flags": UP | UV | BS},
    "in a frame": {"client_data": {"crossOrigin": True}},
    "in a frame of another page": {"client_data": {"topOrigin": "https://evil.example"}},
    "another kind of answer": {"client_data": {"type": "payment.get"}},
}
WRONG_AT_LOGIN = WRONG | {
    "the user not verified": {"flags": UP},
    "no user handle": {"handle": None},
    "an empty user handle": {"handle": b""},
    "a foreign user handle": {"handle": bytes(16)},
    "another flag BE": {"flags": UP | UV | BE},
}
WRONG_AT_REGISTRATION = WRONG | {
    "the user not verified": {"flags": UP},
    "a point off the curve": {"cose": cbor2.dumps({1: 2, 3: ES256, -1: 1, -2: b"\1" * 32, -3: b"\2" * 32})},
    "another curve": {"cose": cbor2.dumps({1: 2, 3: ES256, -1: 2, -2: b"\1" * 48, -3: b"\2" * 48})},
    "a short key": {"cose": cbor2.dumps({1: 1, 3: EDDSA, -1: 6, -2: b"\1" * 31})},
    "another algorithm": {"cose": cbor2.dumps({1: 2, 3: -35, -1: 1, -2: b"\1" * 32, -3: b"\2" * 32})},
    "an exponent of one": {"cose": cbor2.dumps({1: 3, 3: RS256, -1: b"\xff" * 256, -2: b"\1"})},
    "a key that is no map": {"cose": cbor2.dumps(4)},
    "an id that is too long": {"id": bytes(1024)},
}


@pytest.mark.parametrize("change", WRONG_AT_LOGIN.values(), ids=WRONG_AT_LOGIN)
def test_a_login_is_rejected(stranger: APIClient, authenticator: Authenticator, change: dict[str, Any]) -> None:
    vars(authenticator).update(change)
    refused(sign_in(stranger, authenticator), 401, "invalid_credentials")
    assert not Session.objects.exists()
    assert SpentChallenge.objects.count() == 1  # of the registration


def test_the_flag_be_is_compared_in_both_directions(stranger: APIClient, ana: User) -> None:
    synced = Authenticator()
    synced.flags = UP | UV | BE | BS
    add_passkey(ana, synced)
    synced.flags = UP | UV
    refused(sign_in(stranger, synced), 401, "invalid_credentials")
    synced.flags = UP | UV | BE
    assert sign_in(stranger, synced).status_code == 200
    assert Passkey.objects.get().is_synced is False


@pytest.mark.parametrize("change", WRONG_AT_REGISTRATION.values(), ids=WRONG_AT_REGISTRATION)
def test_a_registration_is_rejected(client_of: Clients, ana: User, change: dict[str, Any]) -> None:
    wrong = Authenticator()
    vars(wrong).update(change)
    document = refused(register(client_of(ana), wrong), 400, "validation_error")
    assert [(error["field"], error["code"]) for error in document["errors"]] == [("passkey", "invalid")]
    ana.refresh_from_db()
    assert (ana.mfa_enabled, Passkey.objects.exists(), SpentChallenge.objects.exists()) == (False, False, False)


def test_a_weak_rsa_key_is_rejected(client_of: Clients, ana: User) -> None:
    refused(register(client_of(ana), Authenticator(RS256, rsa_bits=1024)), 400, "validation_error")


@pytest.mark.parametrize(
    ("fmt", "statement"),
    [
        ("packed", {"x5c": [b"certificate"]}),
        ("packed", {"x5c": []}),
        ("packed", {"sig": b"\x30\x06\x02\x01\x01\x02\x01\x01"}),
        ("packed", {"alg": EDDSA}),
        ("none", {"sig": b"x"}),
        *((fmt, {}) for fmt in ("fido-u2f", "tpm", "apple", "android-key", "android-safetynet", "unknown", "")),
    ],
)
def test_other_attestations_are_rejected(client_of: Clients, ana: User, fmt: str, statement: dict[str, Any]) -> None:
    client = client_of(ana)
    answer = Authenticator().create(post(client, "passkeys/options/").json(), fmt=fmt, **statement)
    refused(post(client, "passkeys/", passkey=answer), 400, "validation_error")
    assert not Passkey.objects.exists()


def test_another_id_than_the_attested_one_is_rejected(client_of: Clients, ana: User) -> None:
    client = client_of(ana)
    answer = Authenticator().create(post(client, "passkeys/options/").json())
    answer["id"] = answer["rawId"] = encoded(b"another id")
    refused(post(client, "passkeys/", passkey=answer), 400, "validation_error")


class TestChallenges:
    """A challenge is good for one purpose of one session or pending login."""

    def test_one_of_another_session_registers_nothing(self, client_of: Clients, ana: User, bruno: User) -> None:
        options = post(client_of(ana), "passkeys/options/").json()
        for client in (client_of(ana), client_of(bruno)):
            answer = Authenticator().create(options)
            refused(post(client, "passkeys/", passkey=answer), 400, "validation_error")

    def test_one_of_a_login_registers_nothing(self, client_of: Clients, ana: User) -> None:
        client = client_of(ana)
        options = post(client, "passkeys/options/").json()
        for path in ("passkey/options/", "step-up/options/"):
            options["challenge"] = post(client, path).json()["challenge"]
            refused(post(client, "passkeys/", passkey=Authenticator().create(options)), 400, "validation_error")

    def test_a_registration_works_once(self, client_of: Clients, ana: User) -> None:
        client = client_of(ana)
        options = post(client, "passkeys/options/").json()
        added = post(client, "passkeys/", passkey=Authenticator().create(options))
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {added.json()['access']}")
        refused(post(client, "passkeys/", passkey=Authenticator().create(options)), 400, "validation_error")
        assert Passkey.objects.count() == 1

    def test_one_of_another_purpose_signs_nobody_in(self, stranger: APIClient, authenticator: Authenticator) -> None:
        signed_in = APIClient()
        signed_in.credentials(HTTP_AUTHORIZATION="Bearer " + sign_in(signed_in, authenticator).json()["access"])
        options = post(stranger, "passkey/options/").json()
        pending = post(stranger, "login/", email="ana@example.com", password=PASSWORD).json()
        for challenge in (
            post(signed_in, "step-up/options/").json()["challenge"],
            post(signed_in, "passkeys/options/").json()["challenge"],
            pending["passkey"]["challenge"],
            encoded(bytes(56)),
            encoded(b""),
            encoded(decoded(options["challenge"])[:-1]),
        ):
            wrong = authenticator.get({**options, "challenge": challenge})
            refused(post(stranger, "passkey/", passkey=wrong), 401, "invalid_credentials")

    def test_one_of_another_login_is_no_second_factor(self, stranger: APIClient, authenticator: Authenticator) -> None:
        first, second = (post(stranger, "login/", email="ana@example.com", password=PASSWORD).json() for _n in "12")
        anonymous = post(stranger, "passkey/options/").json()
        for options in (second["passkey"], anonymous):
            body = {"mfa_token": first["mfa_token"], "passkey": authenticator.get(options)}
            refused(post(stranger, "login/second-factor/", **body), 401, "invalid_second_factor")
        body = {"mfa_token": first["mfa_token"], "passkey": authenticator.get(first["passkey"])}
        assert post(stranger, "login/second-factor/", **body).status_code == 200

    def test_one_of_another_session_steps_nothing_up(self, authenticator: Authenticator) -> None:
        clients = [APIClient(), APIClient()]
        for client in clients:
            client.credentials(HTTP_AUTHORIZATION="Bearer " + sign_in(client, authenticator).json()["access"])
        answer = authenticator.get(post(clients[0], "step-up/options/").json())
        refused(post(clients[1], "step-up/", passkey=answer), 401, "invalid_second_factor")
        assert post(clients[0], "step-up/", passkey=answer).status_code == 200


class TestCounter:
    def test_it_must_grow(self, stranger: APIClient, ana: User, authenticator: Authenticator) -> None:
        for counter, status in ((5, 200), (5, 401), (4, 401), (0, 401), (6, 200)):
            authenticator.counter = counter
            assert sign_in(stranger, authenticator).status_code == status, counter
        events = AuditEvent.objects.filter(kind="passkey:counter_fell")
        assert {(event.user_id, event.actor_id, event.data["passkey"]) for event in events} == {
            (ana.pk, None, str(Passkey.objects.get().pk))
        }
        assert events.count() == 3
        assert Passkey.objects.get().sign_count == 6

    def test_always_zero_is_fine(self, stranger: APIClient, authenticator: Authenticator) -> None:
        for _login in range(2):
            assert sign_in(stranger, authenticator).status_code == 200

    def test_a_repeated_answer_is_no_copied_passkey(self, stranger: APIClient, authenticator: Authenticator) -> None:
        authenticator.counter = 5
        answer = authenticator.get(post(stranger, "passkey/options/").json())
        assert post(stranger, "passkey/", passkey=answer).status_code == 200
        refused(post(stranger, "passkey/", passkey=answer), 401, "invalid_credentials")
        assert not AuditEvent.objects.filter(kind="passkey:counter_fell").exists()

    def test_it_must_grow_as_second_factor_too(self, stranger: APIClient, ana: User) -> None:
        authenticator = Authenticator()
        authenticator.counter = 9
        add_passkey(ana, authenticator)
        document = post(stranger, "login/", email=ana.email, password=PASSWORD).json()
        for counter, status in ((9, 401), (10, 200)):
            authenticator.counter = counter
            answer = authenticator.get(document["passkey"])
            finished = post(stranger, "login/second-factor/", mfa_token=document["mfa_token"], passkey=answer)
            assert finished.status_code == status
        assert AuditEvent.objects.get(kind="passkey:counter_fell").user_id == ana.pk


def mutated(answer: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Returns the answer with one change: to a byte, a length, a member or its type."""
    changed = {**answer, "response": dict(answer["response"])}
    part = changed if chance.random() < 0.2 else changed["response"]
    name = chance.choice(sorted(part))
    value = part[name]
    if not isinstance(value, str) or chance.random() < 0.2:
        odd: tuple[Any, ...] = (None, 1, [], {}, "", "é", "=", True, "A" * 5000, [[]] * 10, {"a": {}}, "W1tb" * 2000)
        part[name] = chance.choice(odd)
        return changed
    content = bytearray(decoded(value)) or bytearray(b"x")
    place = chance.randrange(len(content))
    kind = chance.randrange(4)
    if kind == 0:
        content[place] = chance.randrange(256)
    elif kind == 1:
        del content[place : place + chance.randrange(1, 20)]
    elif kind == 2:
        content[place:place] = chance.randbytes(chance.randrange(1, 20))
    else:
        content[place] ^= 1 << chance.randrange(8)
    part[name] = encoded(bytes(content))
    return changed


def test_no_mutation_of_a_login_opens_a_session(stranger: APIClient, authenticator: Authenticator) -> None:
    chance = random.Random(20261128)
    options = post(stranger, "passkey/options/").json()
    right = authenticator.get(options)
    for _number in range(FUZZED):
        wrong = mutated(right, chance)
        answer = post(stranger, "passkey/", passkey=wrong)
        assert answer.status_code in {200, 400, 401}, wrong
        if answer.status_code == 200:  # the change was in a member without a meaning
            assert {**right["response"], **wrong["response"]} == right["response"], wrong
            right = authenticator.get(post(stranger, "passkey/options/").json())


def test_no_mutation_of_a_registration_is_an_error_500(client_of: Clients, ana: User) -> None:
    chance = random.Random(20261129)
    client = client_of(ana)
    authenticators = [Authenticator(ES256), Authenticator(EDDSA)]
    options = post(client, "passkeys/options/").json()
    for number in range(FUZZED):
        answer = authenticators[number % 2].create(options, fmt=("none", "packed")[number // 2 % 2])
        added = post(client, "passkeys/", passkey=mutated(answer, chance))
        assert added.status_code in {201, 400, 409}
        if added.status_code == 201:
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {added.json()['access']}")
            Passkey.objects.all().delete()
            options = post(client, "passkeys/options/").json()
