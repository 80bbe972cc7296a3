"""No response reveals whether an account exists: same bytes, same headers, and times that cannot be told apart.

Times are compared as distributions of samples that are taken in turn. A difference must show both in how often one is
the slower of two and in the quick quarter of each, so that a busy machine alone does not make one.
"""

import json
import random
import re
import statistics
import time
from collections.abc import Callable
from itertools import chain, cycle

import bcrypt
import pytest

from tests.attacks.client import Answer, Call
from tests.attacks.conftest import from_ip, new_ip
from tests.attacks.service import API, PASSWORD, Person, Service, new_address, register, verified

SAMPLES, ACCOUNTS = 30, 4  # so that no account reaches its limit
DIFFERENCE, NOISE_SECONDS = 0.25, 0.004  # of the lower quartiles; the larger of the two bounds holds
SLOWER_OF_TWO = 0.85  # the probability at which two distributions count as different; 0.5 if they are the same


@pytest.fixture(scope="module")
def known(service: Service, guarded: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Addresses by what is behind them; the hashes of all are of the cost that the service wants, but the imported."""
    kinds = {kind: [new_address(kind) for _each in range(ACCOUNTS)] for kind in ("active", "suspended", "unverified")}
    for email in chain.from_iterable(kinds.values()):
        assert _send(guarded, "auth/register/", email=email, password=PASSWORD).status == 202
    for email in kinds["active"] + kinds["suspended"]:
        token = service.office.token_to(email, "verify-email")
        assert _send(guarded, "auth/email/verify/", token=token).status == 204
    for email in kinds["suspended"]:
        service.manage("users", "suspend", email)
    kinds["imported"] = [new_address("legacy") for _each in range(ACCOUNTS)]
    lines = [{"email": email, "password_hash": _foreign_hash()} for email in kinds["imported"]]
    path = tmp_path_factory.mktemp("import") / "users.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    service.manage("import_users", str(path))
    return kinds


def _foreign_hash() -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()


def _send(guarded: Service, path: str, access: str = "", **body: str) -> Answer:
    return guarded.send(Call("POST", f"{API}{path}", access, body, from_ip(new_ip())))


def wrong_login(guarded: Service, email: str) -> Answer:
    return _send(guarded, "auth/login/", email=email, password="wrong horse battery")


def reset(guarded: Service, email: str) -> Answer:
    return _send(guarded, "auth/password/reset/", email=email)


def resend(guarded: Service, email: str) -> Answer:
    return _send(guarded, "auth/email/verify/resend/", email=email)


def registration(guarded: Service, email: str) -> Answer:
    return _send(guarded, "auth/register/", email=email, password=PASSWORD)


ASKS = [wrong_login, reset, resend, registration]


@pytest.mark.parametrize("ask", ASKS)
def test_known_and_unknown_addresses_get_identical_responses(
    ask: Callable[[Service, str], Answer], guarded: Service, known: dict[str, list[str]]
) -> None:
    addresses = {kind: emails[0] for kind, emails in known.items()} | {"unknown": new_address("unknown")}
    responses = {kind: _comparable(ask(guarded, email)) for kind, email in addresses.items()}
    assert len(set(responses.values())) == 1, responses


@pytest.mark.parametrize("ask", ASKS)
def test_known_and_unknown_addresses_take_the_same_time(
    ask: Callable[[Service, str], Answer],
    guarded: Service,
    known: dict[str, list[str]],
) -> None:
    addresses = {kind: cycle(emails) for kind, emails in known.items()}
    times: dict[str, list[float]] = {kind: [] for kind in (*known, "unknown")}
    for _sample in range(SAMPLES):
        for kind, seconds in random.sample(list(times.items()), len(times)):
            email = next(addresses[kind]) if kind in addresses else new_address("unknown")
            began = time.perf_counter()
            assert ask(guarded, email).status in (202, 401)
            seconds.append(time.perf_counter() - began)
    shown = {kind: f"{_quartile(seconds) * 1000:.1f} ms" for kind, seconds in times.items()}
    print(ask.__name__, shown)
    for kind, seconds in times.items():
        assert not _differ(seconds, times["unknown"]), (kind, shown)


def _differ(ours: list[float], theirs: list[float]) -> bool:
    slower = statistics.mean(one > other for one in ours for other in theirs)
    apart = abs(_quartile(ours) - _quartile(theirs))
    is_apart = apart > max(NOISE_SECONDS, DIFFERENCE * _quartile(theirs))
    return is_apart and not 1 - SLOWER_OF_TWO < slower < SLOWER_OF_TWO


def _quartile(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=4)[0]


def test_only_the_right_password_reveals_a_suspension(guarded: Service, known: dict[str, list[str]]) -> None:
    unverified = new_address("unverified")  # the known ones were registered again by others, which takes their password
    assert registration(guarded, unverified).status == 202
    assert _send(guarded, "auth/login/", email=known["suspended"][1], password=PASSWORD).code == "account_suspended"
    assert _send(guarded, "auth/login/", email=unverified, password=PASSWORD).code == "email_not_verified"
    assert _send(guarded, "auth/login/", email=known["suspended"][1], password="wrong").code == "invalid_credentials"


def test_an_email_change_does_not_reveal_whether_the_address_is_taken(
    service: Service, guarded: Service, known: dict[str, list[str]]
) -> None:
    responses = set()
    for email in (known["active"][2], known["suspended"][2], known["unverified"][2], new_address("free")):
        asker = verified(register(service, "asker"))  # each one's first change, as answers tell what is left of a limit
        access = _send(guarded, "auth/login/", email=asker.email, password=PASSWORD).json()["access"]
        responses.add(
            _comparable(_send(guarded, "auth/email/change/", access, new_email=email, current_password=PASSWORD))
        )
    assert len(responses) == 1


def test_existing_and_unknown_ids_get_identical_responses(service: Service, ana: Person, bruno: Person) -> None:
    unknown_id = bruno.id[:-4] + "0000"
    responses = {
        _comparable(ana.ask("GET", f"users/{one}/"), one)
        for one in (bruno.id, unknown_id, "nonsense", bruno.id.upper())
    }
    assert len(responses) == 1


def _comparable(answer: Answer, name: str = "") -> tuple[int, str, str]:
    """All that an answer says but what is new each time."""
    headers = {key: value for key, value in answer.headers.items() if key not in ("Date", "X-Request-ID")}
    content = answer.text.replace(answer.headers["X-Request-ID"], "")
    headers["RateLimit"] = re.sub(r";t=\d+", "", headers.get("RateLimit", ""))  # the seconds that are left go by
    return answer.status, json.dumps(headers), content.replace(name, "") if name else content
