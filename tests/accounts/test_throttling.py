"""How often something may be tried: counted exactly, over a window, and naming nobody."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.test import RequestFactory
from pytest_django import Settings

from accounts import origin, throttling
from accounts.errors import Throttled
from accounts.models import RateBucket
from accounts.throttling import Try

MINUTE = timedelta(minutes=1)


class Rate(NamedTuple):
    limit: int
    period: timedelta = MINUTE


@pytest.fixture(autouse=True)
def _limited(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What time it is, in milliseconds, as the only item of a list."""
    now = [1_000_000_000_000]
    monkeypatch.setattr(throttling, "_now", lambda: now[0])
    return now


def one(value: str = "a", limit: int = 3, *, scope: str = "test", subject: str = "") -> Try:
    return Try(scope, value, Rate(limit), subject)


def hits() -> list[int]:
    return list(RateBucket.objects.order_by("hits").values_list("hits", flat=True))


def test_so_many_and_no_more() -> None:
    assert [throttling.is_allowed(one()) for _number in range(6)] == [True] * 3 + [False] * 3
    assert hits() == [3]


def test_the_refusal_says_when_another_try_is_worth_it(clock: list[int]) -> None:
    throttling.take([one(limit=1)])
    clock[0] += 20_500
    with pytest.raises(Throttled) as refusal:
        throttling.take([one(limit=1)])
    assert refusal.value.retry_after == timedelta(seconds=39.5)


def test_a_window_ends_at_its_end_whatever_was_tried_meanwhile(clock: list[int]) -> None:
    assert throttling.is_allowed(one(limit=1))
    clock[0] += 59_999
    assert not throttling.is_allowed(one(limit=1))
    clock[0] += 1
    assert [throttling.is_allowed(one(limit=1)) for _number in range(2)] == [True, False]
    clock[0] += 59_999
    assert not throttling.is_allowed(one(limit=1))


def test_scopes_and_values_are_counted_apart() -> None:
    assert throttling.is_allowed(one("a", 1))
    assert throttling.is_allowed(one("b", 1))
    assert throttling.is_allowed(one("a", 1, scope="other"))
    assert not throttling.is_allowed(one("a", 1))
    assert hits() == [1, 1, 1]


def test_either_all_are_counted_or_none() -> None:
    throttling.take([one("full", 1)])
    with pytest.raises(Throttled):
        throttling.take([one("fresh"), one("full", 1)])
    assert hits() == [1]
    throttling.take([one("fresh"), one("other")])
    assert hits() == [1, 1, 1]


def test_what_was_no_failure_is_given_back_and_never_below_nothing() -> None:
    throttling.take([one("a"), one("b")])
    throttling.give_back([one("a")])
    throttling.give_back([one("a")])
    assert hits() == [0, 1]


def test_one_try_can_be_forgotten() -> None:
    throttling.take([one("a"), one("b")])
    throttling.forget(one("a"))
    assert hits() == [1]


def test_all_about_an_account_can_be_forgotten_whoever_tried() -> None:
    throttling.take([one("ana 192.0.2.1", subject="ana"), one("ana 192.0.2.2", subject="ana")])
    throttling.take([one("bruno 192.0.2.1", subject="bruno"), one("192.0.2.1")])
    throttling.forget_subject("ana")
    assert len(hits()) == 2
    throttling.forget_subject("")
    assert len(hits()) == 2


def test_nothing_is_counted_where_limits_are_off(settings: Settings) -> None:
    settings.RATE_LIMITS = False
    assert all(throttling.is_allowed(one(limit=1)) for _number in range(5))
    assert hits() == []


def test_the_table_names_nobody() -> None:
    throttling.take([one("ana@example.com", subject="ana@example.com")])
    assert "ana" not in str(RateBucket.objects.values())


def test_keys_are_of_this_installation_alone(settings: Settings) -> None:
    key = one().key
    settings.SECRET_KEY = "another-" * 10
    assert one().key != key


def test_windows_that_are_over_are_pruned(clock: list[int]) -> None:
    throttling.take([one("old")])
    clock[0] += 30_000
    throttling.take([one("new")])
    clock[0] += 30_001
    assert throttling.prune() == 1
    assert RateBucket.objects.get().key == one("new").key


def test_a_counter_that_begins_anew_while_it_is_pruned_stays(clock: list[int]) -> None:
    throttling.take([one(limit=1)])
    clock[0] += 60_001
    tries: list[bool] = []

    def try_after_the_look(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        found = execute(sql, *arguments)
        if sql.startswith("SELECT") and not tries:
            tries.append(True)
            tries[0] = throttling.is_allowed(one(limit=1))
        return found

    with connection.execute_wrapper(try_after_the_look):
        assert throttling.prune() == 0
    assert tries == [True]
    assert not throttling.is_allowed(one(limit=1))


def test_a_mailbox_gets_so_many_mails_in_whatever_spelling(settings: Settings) -> None:
    settings.RATE_MAIL = Rate(2)
    assert throttling.may_mail("ana@bücher.example", "reset")
    assert throttling.may_mail("ANA@xn--bcher-kva.example", "reset")
    assert not throttling.may_mail("Ana@Bücher.Example", "reset")
    assert throttling.may_mail("bruno@bücher.example", "reset")


def test_the_first_of_a_kind_is_held_up_by_no_other_mails(settings: Settings, clock: list[int]) -> None:
    settings.RATE_MAIL = Rate(2)
    for kind, allowed in [("registration", [True, True, False]), ("reset", [True, False])]:
        assert [throttling.may_mail("ana@example.com", kind) for _each in allowed] == allowed
    clock[0] += 60_001
    assert [throttling.may_mail("ana@example.com", "reset") for _number in range(3)] == [True, True, False]


def test_what_is_not_wanted_uses_nothing_up_and_has_its_own_end(settings: Settings) -> None:
    settings.RATE_MAIL = Rate(2)
    unwanted = [throttling.may_mail("ana@example.com", "reset", is_wanted=False) for _number in range(3)]
    wanted = [throttling.may_mail("ana@example.com", "reset") for _number in range(3)]
    assert unwanted == wanted == [True, True, False]


def test_a_one_time_token_counts_unless_it_is_one(settings: Settings) -> None:
    settings.RATE_TOKEN = Rate(2)
    for _number in range(5):
        with throttling.token_try():
            pass
    for _number in range(2):
        with pytest.raises(LookupError), throttling.token_try():
            raise LookupError
    with pytest.raises(Throttled), throttling.token_try():
        raise AssertionError("it was looked up")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:db8::1", "192.0.2.1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        (None, None, True),
    ],
)
def test_what_counts_as_one_client(one: str | None, other: str | None, is_same: bool) -> None:
    assert (origin.network(one) == origin.network(other)) is is_same


def test_a_try_of_a_client_counts_against_where_the_request_comes_from() -> None:
    token = origin.current.set(origin.Origin("2001:db8:1:2::99"))
    try:
        assert throttling.client_try("x", Rate(1)).key == Try("x", origin.network("2001:db8:1:2::1"), Rate(1)).key
    finally:
        origin.current.reset(token)


FORWARDED = "203.0.113.9, 198.51.100.8, 192.0.2.7"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        (0, FORWARDED, "127.0.0.1"),
        (1, FORWARDED, "192.0.2.7"),
        (2, FORWARDED, "198.51.100.8"),
        (3, FORWARDED, "203.0.113.9"),
        (9, FORWARDED, "203.0.113.9"),
        (1, "", "127.0.0.1"),
        (2, "192.0.2.7", "192.0.2.7"),
        (1, " , ,", "127.0.0.1"),
        (1, "203.0.113.9,\t192.0.2.7 ", "192.0.2.7"),
        (1, "192.0.2.7:4711", "192.0.2.7"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "2001:DB8:0::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "unknown", None),
        (1, "203.0.113.9, _hidden", None),
        (1, "192.0.2.7; drop table", None),
        (1, "é", None),
    ],
)
def test_a_forwarded_address_is_believed_as_far_as_the_trusted_proxies_reach(
    rf: RequestFactory, settings: Settings, proxies: int, forwarded: str, client: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert origin.client_ip(rf.get("/", headers={"X-Forwarded-For": forwarded})) == client


def test_a_client_without_an_address_is_nobody_in_particular(rf: RequestFactory) -> None:
    assert origin.client_ip(rf.get("/", REMOTE_ADDR="")) is None


def test_what_a_device_calls_itself_is_cut_and_cleaned(rf: RequestFactory) -> None:
    come = origin.from_request(rf.get("/", headers={"User-Agent": "a\x00b\nc\x7f" + "x" * 500}), "id")
    assert come.user_agent == "abc" + "x" * 253
