"""Collects the state of each rate limit that counted the current request, and makes the RateLimit headers of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import NamedTuple

from accounts.limits.rates import Rate

SECOND = timedelta(seconds=1)


class RateLimitState(NamedTuple):
    """How many attempts are left of a rate, and when its window ends."""

    rate: Rate
    remaining: int
    resets_in: timedelta


_collected: ContextVar[dict[str, RateLimitState] | None] = ContextVar("rate_limit_states", default=None)


@contextmanager
def collect() -> Iterator[dict[str, RateLimitState]]:
    """Yields a dict that receives the state of each limit that counts within the block, by the limit's name."""
    states: dict[str, RateLimitState] = {}
    token = _collected.set(states)
    try:
        yield states
    finally:
        _collected.reset(token)


def record(limit: str, state: RateLimitState) -> None:
    if (states := _collected.get()) is not None:
        states[limit] = state


def update(limit: str, change: Callable[[RateLimitState], RateLimitState]) -> None:
    """Changes the recorded state of the limit, if there is one."""
    states = _collected.get() or {}
    if limit in states:
        states[limit] = change(states[limit])


def discard(limits: Iterable[str]) -> None:
    """Removes states whose attempts were rolled back."""
    for limit in limits:
        (_collected.get() or {}).pop(limit, None)


def headers(states: Mapping[str, RateLimitState]) -> dict[str, str]:
    """Returns the RateLimit headers of a response, as draft-ietf-httpapi-ratelimit-headers-10 defines them."""
    counted = sorted(states.items())
    return {
        "RateLimit-Policy": ", ".join(map(_policy_item, counted)),
        "RateLimit": ", ".join(map(_state_item, counted)),
    }


def _policy_item(counted: tuple[str, RateLimitState]) -> str:
    """Returns a limit, such as `"login";q=5;w=300`."""
    name, state = counted
    return f'"{name}";q={state.rate.limit};w={state.rate.period // SECOND}'


def _state_item(counted: tuple[str, RateLimitState]) -> str:
    name, state = counted
    return f'"{name}";r={state.remaining};t={-(-state.resets_in // SECOND)}'
