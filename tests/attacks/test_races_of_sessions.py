"""Concurrent requests with one refresh token get one successor, and none outlives the end of the session."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attacks.client import Call
from tests.attacks.conftest import from_ip
from tests.attacks.service import OTHER_PASSWORD, PASSWORD, Person, Service, log_in, post, verified

EIGHT, ROUNDS = 8, 40
WITHIN_THE_LIMIT = 5  # right passwords also count while they are hashed


def test_eight_concurrent_refreshes_make_one_successor(service: Service, ana: Person) -> None:
    refresh = ana.refresh
    for _round in range(ROUNDS):
        answers = service.at_once([post("auth/token/refresh/", refresh=refresh)] * EIGHT)
        assert [answer.status for answer in answers] == [200] * EIGHT
        [refresh] = {answer.json()["refresh"] for answer in answers}
    assert len(ana.must(200, "GET", "users/me/sessions/")["results"]) == 1


def logout(ana: Person, root: Person) -> Call:
    return ana.call("POST", "auth/logout/")


def logout_everywhere(ana: Person, root: Person) -> Call:
    return ana.call("POST", "auth/logout/all/")


def suspension(ana: Person, root: Person) -> Call:
    return root.call("POST", f"users/{ana.id}/suspend/")


def revocation(ana: Person, root: Person) -> Call:
    return root.call("DELETE", f"users/{ana.id}/sessions/")


def deletion(ana: Person, root: Person) -> Call:
    return root.call("DELETE", f"users/{ana.id}/")


def reset(ana: Person, root: Person) -> Call:
    ana.service.must(202, "POST", "auth/password/reset/", email=ana.email)
    token = ana.service.office.token_to(ana.email, "reset-password")
    return post("auth/password/reset/confirm/", token=token, new_password=OTHER_PASSWORD)


@pytest.mark.parametrize("end", [logout, logout_everywhere, suspension, revocation, deletion, reset])
def test_a_concurrent_refresh_does_not_keep_an_ended_session_alive(
    end: Callable[[Person, Person], Call], service: Service, root: Person, new_ana: Callable[[], Person]
) -> None:
    for place in range(8):
        ana = new_ana()
        calls = [post("auth/token/refresh/", refresh=ana.refresh)] * EIGHT
        calls[place] = end(ana, root)
        answers = service.at_once(calls)
        assert answers.pop(place).status in (200, 204)
        assert {answer.status for answer in answers} <= {200, 401}
        for answer in answers:
            if answer.status == 200:
                _is_over(service, answer.json()["access"], answer.json()["refresh"])
        _is_over(service, ana.access, ana.refresh)


def _is_over(service: Service, access: str, refresh: str) -> None:
    assert service.ask("GET", "users/me/", access).code == "token_not_valid"
    assert service.ask("POST", "auth/token/refresh/", refresh=refresh).code == "token_not_valid"


@pytest.mark.parametrize("end", [reset, suspension, deletion])
def test_a_concurrent_login_with_the_old_password_gets_no_working_session(
    end: Callable[[Person, Person], Call], service: Service, guarded: Service, root: Person, ana: Person
) -> None:
    """The logins are hashing on one server when the password is replaced through the other."""
    verified(ana)
    ending = end(ana, root)
    logins = [_login_through_proxy(ana, place) for place in range(6)]
    with ThreadPoolExecutor() as pool:
        answers = pool.submit(guarded.at_once, logins)
        time.sleep(0.08)
        assert service.send(ending).status in (200, 204)
    for answer in answers.result():
        assert answer.status in (200, 401, 403)
        if answer.status == 200:
            sent = from_ip("198.18.0.1")
            assert guarded.ask("GET", "users/me/", answer.json()["access"], sent=sent).code == "token_not_valid"


def _login_through_proxy(person: Person, place: int) -> Call:
    body = {"email": person.email, "password": PASSWORD}
    return Call("POST", "/api/v1/auth/login/", body=body, headers=from_ip(f"198.19.0.{place}"))


def test_no_user_has_more_than_fifty_sessions(service: Service, ana: Person) -> None:
    login = post("auth/login/", email=ana.email, password=PASSWORD)
    for _round in range(10):
        assert {answer.status for answer in service.at_once([login] * WITHIN_THE_LIMIT)} == {200}
    latest = log_in(service, ana.email)
    assert len(latest.must(200, "GET", "users/me/sessions/?page_size=200")["results"]) == 50
    assert ana.ask("GET", "users/me/").code == "token_not_valid"
