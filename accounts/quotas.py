"""What the current request left of the limits that it counted against, for whoever answers it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import NamedTuple, Protocol


class Rate(Protocol):
    """So many tries within a period."""

    @property
    def limit(self) -> int: ...
    @property
    def period(self) -> timedelta: ...


class Quota(NamedTuple):
    """How many tries are left of a rate, and until when."""

    rate: Rate
    remaining: int
    resets_in: timedelta


_seen: ContextVar[dict[str, Quota] | None] = ContextVar("quotas", default=None)


@contextmanager
def observed() -> Iterator[dict[str, Quota]]:
    """The quotas that are counted within the block, by the names of their limits."""
    quotas: dict[str, Quota] = {}
    token = _seen.set(quotas)
    try:
        yield quotas
    finally:
        _seen.reset(token)


def note(name: str, quota: Quota) -> None:
    if (quotas := _seen.get()) is not None:
        quotas[name] = quota


def correct(name: str, change: Callable[[Quota], Quota]) -> None:
    """Changes what was noted, if anything was."""
    quotas = _seen.get() or {}
    if name in quotas:
        quotas[name] = change(quotas[name])


def withdraw(names: Iterable[str]) -> None:
    """Forgets what was noted and then not counted after all."""
    for name in names:
        (_seen.get() or {}).pop(name, None)
