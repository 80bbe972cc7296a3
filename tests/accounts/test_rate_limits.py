"""Rate limits count attempts exactly, within a window, and store no addresses."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from pytest_django import Settings

from accounts import request_context
from accounts.errors import Throttled
from accounts.limits import rate_limits
from accounts.limits.rate_limits import Attempt
from accounts.limits.rates import Rate
from accounts.models import RateBucket

MINUTE = timedelta(minutes=1)


def per_minute(limit: int) -> Rate:
    return Rate(limit, MINUTE)


@pytest.fixture(autouse=True)
def _limited(db: None, settings: Settings) -> None:
    settings.RATE_LIMITS = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The current time in milliseconds, as the only item of a list."""
    now = [1_000_000_000_000]
    monkeypatch.setattr(rate_limits, "_now", lambda: now[0])
    return now


def attempt(key: str = "a", limit: int = 3, *, name: str = "test", account: str = "") -> Attempt:
    return Attempt(name, key, per_minute(limit), account)


def hits() -> list[int]:
    return list(RateBucket.objects.order_by("hits").values_list("hits", flat=True))


def test_attempts_are_counted_up_to_the_limit() -> None:
    assert [rate_limits.count_silently(attempt()) for _number in range(6)] == [True] * 3 + [False] * 3
    assert hits() == [3]


def test_a_rejection_says_when_the_next_attempt_is_allowed(clock: list[int]) -> None:
    rate_limits.consume([attempt(limit=1)])
    clock[0] += 20_500
    with pytest.raises(Throttled) as raised:
        rate_limits.consume([attempt(limit=1)])
    assert raised.value.retry_after == timedelta(seconds=39.5)


def test_rejected_attempts_do_not_prolong_a_window(clock: list[int]) -> None:
    assert rate_limits.count_silently(attempt(limit=1))
    clock[0] += 59_999
    assert not rate_limits.count_silently(attempt(limit=1))
    clock[0] += 1
    assert [rate_limits.count_silently(attempt(limit=1)) for _number in range(2)] == [True, False]
    clock[0] += 59_999
    assert not rate_limits.count_silently(attempt(limit=1))


def test_limits_and_keys_are_counted_apart() -> None:
    assert rate_limits.count_silently(attempt("a", 1))
    assert rate_limits.count_silently(attempt("b", 1))
    assert rate_limits.count_silently(attempt("a", 1, name="other"))
    assert not rate_limits.count_silently(attempt("a", 1))
    assert hits() == [1, 1, 1]


def test_either_all_attempts_are_counted_or_none() -> None:
    rate_limits.consume([attempt("full", 1)])
    with pytest.raises(Throttled):
        rate_limits.consume([attempt("fresh"), attempt("full", 1)])
    assert hits() == [1]
    rate_limits.consume([attempt("fresh"), attempt("other")])
    assert hits() == [1, 1, 1]


def test_a_refund_never_goes_below_zero() -> None:
    rate_limits.consume([attempt("a"), attempt("b")])
    rate_limits.refund([attempt("a")])
    rate_limits.refund([attempt("a")])
    assert hits() == [0, 1]


def test_one_counter_can_be_reset() -> None:
    rate_limits.consume([attempt("a"), attempt("b")])
    rate_limits.reset(attempt("a"))
    assert hits() == [1]


def test_the_counters_of_an_account_can_be_reset_for_all_clients() -> None:
    rate_limits.consume([attempt("ana 192.0.2.1", account="ana"), attempt("ana 192.0.2.2", account="ana")])
    rate_limits.consume([attempt("bruno 192.0.2.1", account="bruno"), attempt("192.0.2.1")])
    rate_limits.reset_account("ana")
    assert len(hits()) == 2
    rate_limits.reset_account("")
    assert len(hits()) == 2


def test_nothing_is_counted_if_rate_limits_are_off(settings: Settings) -> None:
    settings.RATE_LIMITS = False
    assert all(rate_limits.count_silently(attempt(limit=1)) for _number in range(5))
    assert hits() == []


def test_the_table_contains_no_address() -> None:
    rate_limits.consume([attempt("ana@example.com", account="ana@example.com")])
    assert "ana" not in str(RateBucket.objects.values())


def test_keys_depend_on_the_secret_key(settings: Settings) -> None:
    bucket_key = attempt().bucket_key
    settings.SECRET_KEY = "another-" * 10
    assert attempt().bucket_key != bucket_key


def test_pruning_deletes_counters_of_ended_windows(clock: list[int]) -> None:
    rate_limits.consume([attempt("old")])
    clock[0] += 30_000
    rate_limits.consume([attempt("new")])
    clock[0] += 30_001
    assert rate_limits.prune() == 1
    assert RateBucket.objects.get().key == attempt("new").bucket_key


def test_pruning_keeps_a_counter_whose_next_window_begins_meanwhile(clock: list[int]) -> None:
    rate_limits.consume([attempt(limit=1)])
    clock[0] += 60_001
    attempts: list[bool] = []

    def attempt_after_select(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        found = execute(sql, *arguments)
        if sql.startswith("SELECT") and not attempts:
            attempts.append(True)
            attempts[0] = rate_limits.count_silently(attempt(limit=1))
        return found

    with connection.execute_wrapper(attempt_after_select):
        assert rate_limits.prune() == 0
    assert attempts == [True]
    assert not rate_limits.count_silently(attempt(limit=1))


def test_the_limit_of_a_mailbox_counts_all_its_spellings(settings: Settings) -> None:
    settings.RATE_MAIL = per_minute(2)
    assert rate_limits.count_email("ana@bücher.example", "reset")
    assert rate_limits.count_email("ANA@xn--bcher-kva.example", "reset")
    assert not rate_limits.count_email("Ana@Bücher.Example", "reset")
    assert rate_limits.count_email("bruno@bücher.example", "reset")


def test_the_first_email_of_each_kind_is_always_allowed(settings: Settings, clock: list[int]) -> None:
    settings.RATE_MAIL = per_minute(2)
    for kind, allowed in [("registration", [True, True, False]), ("reset", [True, False])]:
        assert [rate_limits.count_email("ana@example.com", kind) for _each in allowed] == allowed
    clock[0] += 60_001
    assert [rate_limits.count_email("ana@example.com", "reset") for _number in range(3)] == [True, True, False]


def test_unwanted_emails_have_a_counter_of_their_own(settings: Settings) -> None:
    settings.RATE_MAIL = per_minute(2)
    unwanted = [rate_limits.count_email("ana@example.com", "reset", is_wanted=False) for _number in range(3)]
    wanted = [rate_limits.count_email("ana@example.com", "reset") for _number in range(3)]
    assert unwanted == wanted == [True, True, False]


def test_only_an_invalid_one_time_token_counts(settings: Settings) -> None:
    settings.RATE_TOKEN = per_minute(2)
    for _number in range(5):
        with rate_limits.token_attempt():
            pass
    for _number in range(2):
        with pytest.raises(LookupError), rate_limits.token_attempt():
            raise LookupError
    with pytest.raises(Throttled), rate_limits.token_attempt():
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
def test_ip_addresses_of_one_network_are_one_client(one: str | None, other: str | None, is_same: bool) -> None:
    assert (request_context.network(one) == request_context.network(other)) is is_same


def test_an_attempt_of_a_client_counts_against_its_network() -> None:
    token = request_context.current.set(request_context.RequestContext("2001:db8:1:2::99"))
    try:
        assert (
            rate_limits.client_attempt("x", per_minute(1)).bucket_key
            == Attempt("x", request_context.network("2001:db8:1:2::1"), per_minute(1)).bucket_key
        )
    finally:
        request_context.current.reset(token)


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
def test_a_forwarded_address_is_trusted_as_far_as_the_proxies_reach(
    rf: RequestFactory, settings: Settings, proxies: int, forwarded: str, client: str | None
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert request_context.client_ip(rf.get("/", headers={"X-Forwarded-For": forwarded})) == client


def test_a_client_may_have_no_ip_address(rf: RequestFactory) -> None:
    assert request_context.client_ip(rf.get("/", REMOTE_ADDR="")) is None


def test_a_user_agent_is_cut_and_cleaned(rf: RequestFactory) -> None:
    context = request_context.from_request(rf.get("/", headers={"User-Agent": "a\x00b\nc\x7f" + "x" * 500}), "id")
    assert context.user_agent == "abc" + "x" * 253
