"""How often may this be tried: counters in the database, exact over all processes, of windows that start at a try."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from accounts import origin
from accounts.addresses import canonical_email
from accounts.errors import Throttled
from accounts.models import RateBucket

IPV6_PREFIX = 64  # what one customer is given, and can make addresses from at will


class Rate(Protocol):
    """So many tries within a period."""

    @property
    def limit(self) -> int: ...
    @property
    def period(self) -> timedelta: ...


class Try(NamedTuple):
    """What is counted: a value within the scope of a limit; `subject` is the account it is about, if it is."""

    scope: str
    value: str
    rate: Rate
    subject: str = ""

    @property
    def key(self) -> str:
        return _hmac(self.scope, self.value)


def take(tries: Iterable[Try]) -> None:
    """Counts all of the tries, or none of them. Raises Throttled when one is above its limit."""
    if settings.RATE_LIMITS:
        with transaction.atomic():
            for one in tries:
                _count(one)


def is_allowed(one: Try) -> bool:
    """Counts the try and returns True, or returns False when it is above its limit."""
    try:
        take([one])
    except Throttled:
        return False
    return True


def give_back(tries: Iterable[Try]) -> None:
    """Uncounts tries that turned out to be no failures."""
    keys = [one.key for one in tries]
    RateBucket.objects.filter(key__in=keys, hits__gt=0).update(hits=F("hits") - 1)


def forget(one: Try) -> None:
    RateBucket.objects.filter(key=one.key).delete()


def forget_subject(subject: str) -> None:
    """Forgets all that was counted about an account, whoever tried."""
    RateBucket.objects.filter(subject=_hmac("subject", subject)).delete()


def network(ip: str | None) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one."""
    if ip is None:
        return "unknown"
    address = ip_address(ip)
    if address.version == 4 or address.ipv4_mapped:
        return str(getattr(address, "ipv4_mapped", None) or address)
    return str(int(address) >> (128 - IPV6_PREFIX))


def client_try(scope: str, rate: Rate) -> Try:
    """What counts against whoever sends the current request."""
    return Try(scope, network(origin.current.get().ip), rate)


def may_mail(email: str) -> bool:
    """Whether a mailbox may be sent one more mail that anybody can ask for; counts it. Nobody is told."""
    return is_allowed(Try("mail", canonical_email(email), settings.RATE_MAIL))


@contextmanager
def token_try() -> Iterator[None]:
    """Counts a one-time token that is tried, unless it is one. Raises Throttled before anything is looked up."""
    one = client_try("token", settings.RATE_TOKEN)
    take([one])
    yield
    give_back([one])


def prune() -> int:
    """Deletes counters whose window is over; returns how many."""
    return RateBucket.objects.filter(resets_at__lt=_now()).delete()[0]


_COUNT = """
INSERT INTO accounts_ratebucket (key, subject, hits, resets_at) VALUES (%(key)s, %(subject)s, 1, %(resets_at)s)
ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN accounts_ratebucket.resets_at <= %(now)s THEN 1 ELSE accounts_ratebucket.hits + 1 END,
    resets_at = CASE WHEN accounts_ratebucket.resets_at <= %(now)s THEN excluded.resets_at
                     ELSE accounts_ratebucket.resets_at END
WHERE accounts_ratebucket.resets_at <= %(now)s OR accounts_ratebucket.hits < %(limit)s
RETURNING hits
"""


def _count(one: Try) -> None:
    """One statement decides, so that no two processes can both be the last within the limit."""
    now = _now()
    values: dict[str, str | int] = {
        "key": one.key,
        "subject": _hmac("subject", one.subject) if one.subject else "",
        "now": now,
        "resets_at": now + round(one.rate.period.total_seconds() * 1000),
        "limit": one.rate.limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        if cursor.fetchone():
            return
    resets_at = RateBucket.objects.filter(key=one.key).values_list("resets_at", flat=True).first() or now
    raise Throttled(retry_after=timedelta(milliseconds=max(0, resets_at - now)))


def _hmac(scope: str, value: str) -> str:
    """Keys name nobody: who reads the table learns no address."""
    return salted_hmac(f"accounts.throttling.{scope}", value, algorithm="sha256").hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
