"""Guessing, flooding and locking others out: limits that cannot be dodged, and that cannot be turned on others."""

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from tests.attacks.client import Answer, Call
from tests.attacks.conftest import from_ip, new_ip
from tests.attacks.service import API, PASSWORD, Person, Service, new_address, post, verified

ACCOUNT_LIMIT, IP_LIMIT, REGISTER_LIMIT, MAIL_IP_LIMIT, TOKEN_LIMIT = 12, 20, 10, 30, 20  # those of `guarded`
LOGIN_LIMIT = MAILBOX_LIMIT = 5


def login(email: str, password: str, **headers: str) -> Call:
    return Call("POST", f"{API}auth/login/", body={"email": email, "password": password}, headers=headers)


def from_anywhere() -> dict[str, str]:
    return from_ip(new_ip())


def codes(answers: list[Answer]) -> Counter[str]:
    return Counter(answer.code for answer in answers)


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "X-Forwarded_For"]
)
def test_without_a_proxy_a_client_cannot_forge_its_ip_address(header: str, service: Service, ana: Person) -> None:
    calls = [login(ana.email, "wrong", **{header: f"192.0.2.{number}"}) for number in range(LOGIN_LIMIT + 3)]
    assert codes(service.at_once(calls)) == {"invalid_credentials": LOGIN_LIMIT, "throttled": 3}


def test_behind_a_proxy_only_the_ip_address_it_adds_counts(guarded: Service, ana: Person) -> None:
    forged = [
        login(ana.email, "wrong", **from_ip(f"192.0.2.{number}, 198.18.7.7")) for number in range(LOGIN_LIMIT + 3)
    ]
    assert codes(guarded.at_once(forged)) == {"invalid_credentials": LOGIN_LIMIT, "throttled": 3}


@pytest.mark.parametrize(
    "forwarded_for", ["", "unknown", "' OR 1=1 --", "999.1.1.1", "198.18.0.1\t, ", "::1%eth0", "[::1]:80", "1" * 4000]
)
def test_an_invalid_forwarded_ip_address_causes_no_500(forwarded_for: str, guarded: Service) -> None:
    assert guarded.send(login(new_address(), "wrong", **from_ip(forwarded_for))).status in (400, 401, 429)


def test_addresses_of_one_ipv6_customer_are_one_client(guarded: Service, ana: Person) -> None:
    network = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    here = [login(ana.email, "wrong", **from_ip(f"{network}::{number:x}")) for number in range(1, LOGIN_LIMIT + 4)]
    assert codes(guarded.at_once(here)) == {"invalid_credentials": LOGIN_LIMIT, "throttled": 3}
    elsewhere = login(ana.email, "wrong", **from_ip(f"2001:db8:{secrets.token_hex(2)}:1::1"))
    assert guarded.send(elsewhere).code == "invalid_credentials"


def test_an_ipv4_address_mapped_to_ipv6_is_the_same_client(guarded: Service, ana: Person) -> None:
    ip = new_ip()
    calls = [login(ana.email, "wrong", **from_ip(f"{prefix}{ip}")) for prefix in ("", "::ffff:", "::FFFF:") * 3]
    assert codes(guarded.at_once(calls)) == {"invalid_credentials": LOGIN_LIMIT, "throttled": 4}


def test_a_flood_does_not_lock_out_a_user_at_a_known_ip_address(guarded: Service, ana: Person) -> None:
    home = from_anywhere()
    verified(ana)
    assert guarded.send(login(ana.email, PASSWORD, **home)).status == 200
    flood = [login(ana.email, "wrong", **from_anywhere()) for _attempt in range(ACCOUNT_LIMIT + 8)]
    assert codes(guarded.at_once(flood)) == {"invalid_credentials": ACCOUNT_LIMIT, "throttled": 8}
    assert guarded.send(login(ana.email, PASSWORD, **from_anywhere())).code == "throttled"
    assert guarded.send(login(ana.email, PASSWORD, **home)).status == 200


def test_a_flood_does_not_lock_out_a_user_in_a_known_ipv6_network(guarded: Service, ana: Person) -> None:
    home = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    verified(ana)
    assert guarded.send(login(ana.email, PASSWORD, **from_ip(f"{home}::1"))).status == 200
    guarded.at_once([login(ana.email, "wrong", **from_anywhere()) for _attempt in range(ACCOUNT_LIMIT + 1)])
    assert guarded.send(login(ana.email, PASSWORD, **from_ip(f"{home}:9:9:9:9"))).status == 200
    assert guarded.send(login(ana.email, PASSWORD, **from_anywhere())).code == "throttled"


def test_an_unknown_account_is_limited_like_a_known_one(guarded: Service, ana: Person) -> None:
    for email in (ana.email, new_address("unknown")):
        spellings = [email, email.upper(), f"{email} ", email.title()]
        flood = [login(spellings[number % 4], "wrong", **from_anywhere()) for number in range(ACCOUNT_LIMIT + 4)]
        assert codes(guarded.at_once(flood)) == {"invalid_credentials": ACCOUNT_LIMIT, "throttled": 4}
        here, calls = from_anywhere(), LOGIN_LIMIT + 2
        assert codes([guarded.send(login(email, "wrong", **here)) for _attempt in range(calls)]) == {"throttled": calls}


def test_logins_of_one_client_to_many_accounts_are_limited(guarded: Service, forwarded: dict[str, str]) -> None:
    spray = [login(new_address(), PASSWORD, **forwarded) for _attempt in range(IP_LIMIT + 5)]
    assert codes(guarded.at_once(spray)) == {"invalid_credentials": IP_LIMIT, "throttled": 5}


def test_registrations_of_one_client_are_limited(guarded: Service, forwarded: dict[str, str]) -> None:
    calls = [
        Call("POST", f"{API}auth/register/", body={"email": new_address(), "password": PASSWORD}, headers=forwarded)
        for _attempt in range(REGISTER_LIMIT + 4)
    ]
    assert codes(guarded.at_once(calls)) == {"": REGISTER_LIMIT, "throttled": 4}


@pytest.mark.parametrize("path", ["auth/password/reset/", "auth/email/verify/resend/"])
def test_emails_requested_by_one_client_are_limited(path: str, guarded: Service, forwarded: dict[str, str]) -> None:
    calls = [
        Call("POST", f"{API}{path}", body={"email": new_address()}, headers=forwarded)
        for _attempt in range(MAIL_IP_LIMIT + 4)
    ]
    assert codes(guarded.at_once(calls)) == {"": MAIL_IP_LIMIT, "throttled": 4}


def test_guessed_tokens_of_one_client_are_limited(guarded: Service, forwarded: dict[str, str]) -> None:
    kinds: dict[str, dict[str, str]] = {
        "auth/email/verify/": {},
        "auth/email/change/confirm/": {},
        "auth/password/reset/confirm/": {"new_password": PASSWORD},
        "auth/invitation/accept/": {"password": PASSWORD},
    }
    calls = [
        Call("POST", f"{API}{path}", body=more | {"token": secrets.token_urlsafe(32)}, headers=forwarded)
        for path, more in kinds.items()
    ] * 6
    assert codes(guarded.at_once(calls)) == {"invalid_token": TOKEN_LIMIT, "throttled": 4}


def test_emails_to_a_mailbox_are_limited_without_revealing_it(service: Service, ana: Person) -> None:
    service.office.token_to(ana.email, "verify-email")
    calls = [post(path, email=ana.email) for path in ("auth/password/reset/", "auth/email/verify/resend/") * 6]
    answers = service.at_once(calls)
    assert {answer.status for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    _wait_until_emails_were_sent(service)
    assert 1 <= service.office.count(ana.email) <= MAILBOX_LIMIT + 2  # the welcome, and the first of the other kind


def test_a_flood_does_not_keep_reset_links_from_a_mailbox(service: Service, ana: Person) -> None:
    verified(ana)
    calls = [post("auth/email/verify/resend/", email=ana.email)] * (MAILBOX_LIMIT + 1)
    assert {answer.status for answer in service.at_once(calls)} == {202}
    assert service.send(post("auth/password/reset/", email=ana.email.upper())).status == 202
    assert service.office.token_to(ana.email, "reset-password")


def test_email_changes_cannot_flood_the_mailbox_of_another_user(
    service: Service, new_ana: Callable[[], Person]
) -> None:
    victim, people = new_address("victim"), [new_ana() for _each in range(3)]
    for person in people:
        calls = [person.call("POST", "auth/email/change/", new_email=victim, current_password=PASSWORD)] * 3
        assert {answer.status for answer in service.at_once(calls)} == {202}
    _wait_until_emails_were_sent(service)
    assert 1 <= service.office.count(victim) <= MAILBOX_LIMIT


def test_guesses_at_the_current_password_are_limited(service: Service, ana: Person) -> None:
    guesses = [
        ana.call("POST", "auth/password/change/", current_password="guess one", new_password=PASSWORD),
        ana.call("DELETE", "users/me/", current_password="guess two"),
        ana.call("POST", "auth/email/change/", current_password="guess three", new_email=new_address()),
    ] * 3
    assert codes(service.at_once(guesses)) == {"validation_error": LOGIN_LIMIT, "throttled": 4}


def test_the_admin_panel_shares_the_login_limits_of_the_api(service: Service, ana: Person) -> None:
    for _attempt in range(LOGIN_LIMIT - 1):
        assert service.send(login(ana.email, "wrong")).code == "invalid_credentials"
    assert _log_in_to_the_panel(service, ana.email).status == 200
    refused = _log_in_to_the_panel(service, ana.email)
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert service.send(login(ana.email, PASSWORD)).code == "throttled"


def _log_in_to_the_panel(service: Service, email: str) -> Answer:
    form = service.send(Call("GET", "/admin/login/"))
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert found
    body = urlencode({"csrfmiddlewaretoken": found[1], "username": email, "password": "wrong"}).encode()
    cookie = form.headers["Set-Cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    return service.send(Call("POST", "/admin/login/", body=body, headers=headers))


def _wait_until_emails_were_sent(service: Service) -> None:
    """One that is asked for now comes last; then a moment more for those on other threads."""
    last = new_address("last")
    service.must(201, "POST", "auth/register/", email=last, password=PASSWORD)
    service.office.token_to(last, "verify-email")
    time.sleep(0.3)
