"""Rate limits: fixed-window counters in the database, exact across processes. A window opens with its first attempt."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from accounts import audit, pruning, request_context
from accounts.email_addresses import canonical_email
from accounts.errors import AccountError, InvalidToken, Overloaded, Throttled
from accounts.limits import rate_limit_headers
from accounts.limits.rate_limit_headers import RateLimitState
from accounts.limits.rates import Rate
from accounts.models import RateBucket, User

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Attempt(NamedTuple):
    """An attempt that a rate limit counts. `limit` is the limit's name; attempts with the same `key` share a counter.

    `account` is the key of the account that the attempt is about, if any, and `user_id` the id of its user. If
    `is_exposed` is false, the client sees how much is left only when an attempt is rejected. `detail` replaces the
    text of that error. The first rejection of a window calls `on_first_rejection`, in the transaction of its audit
    event, which `is_audited` turns off.
    """

    limit: str
    key: str
    rate: Rate
    account: str = ""
    user_id: UUID | None = None
    is_exposed: bool = True
    is_audited: bool = True
    detail: "StrOrPromise | None" = None
    on_first_rejection: Callable[[], None] | None = None

    @property
    def bucket_key(self) -> str:
        return _hmac(self.limit, self.key)


def consume(attempts: Iterable[Attempt]) -> None:
    """Counts all of the attempts, or none of them. Raises Throttled if one is above its limit.

    A rejected attempt is not counted, so hitting one account's limit doesn't use up the client's own.
    """
    counting = list(attempts) if settings.RATE_LIMITS else []
    if len(counting) > 1:
        with consumed(counting):
            pass
    elif counting and not _count(counting):  # one statement needs no transaction
        _reject(counting[0])


@contextmanager
def consumed(attempts: Iterable[Attempt]) -> Iterator[None]:
    """Counts the attempts and runs the block in one transaction: each commit waits for the disk.

    If the block raises an exception, the attempts are not counted. Raises Throttled before the block.
    """
    # One order of row locks prevents deadlocks.
    ordered = sorted(attempts if settings.RATE_LIMITS else (), key=lambda attempt: attempt.bucket_key)
    with transaction.atomic():
        counted = _count(ordered) if ordered else set()
        rejected = next((attempt for attempt in ordered if attempt.bucket_key not in counted), None)
        if rejected is None:
            yield
        else:
            transaction.set_rollback(True)
    if rejected:
        rate_limit_headers.discard(attempt.limit for attempt in ordered)
        _reject(rejected)


@contextmanager
def consumed_unless_overloaded(attempts: list[Attempt]) -> Iterator[None]:
    """Counts the attempts, and refunds them if the block raises Overloaded. Raises Throttled."""
    consume(attempts)
    try:
        yield
    except Overloaded:
        refund(attempts)
        raise


def count_silently(attempt: Attempt) -> bool:
    """Counts the attempt and returns True, or returns False when it is above its limit. The client sees neither."""
    with rate_limit_headers.collect():
        try:
            consume([attempt])
        except Throttled:
            return False
    return True


def refund(attempts: Iterable[Attempt]) -> None:
    """Takes each attempt off its counter, because it turned out not to count."""
    for attempt in attempts if settings.RATE_LIMITS else ():
        RateBucket.objects.filter(key=attempt.bucket_key, hits__gt=0).update(hits=F("hits") - 1)
        rate_limit_headers.update(attempt.limit, lambda state: state._replace(remaining=state.remaining + 1))


def was_counted(attempt: Attempt) -> bool:
    """Returns whether the attempt was counted in the current window. Counts nothing."""
    return RateBucket.objects.filter(key=attempt.bucket_key, hits__gt=0, resets_at__gt=_now()).exists()


def reset(attempt: Attempt) -> None:
    """Deletes the attempt's counter, with all attempts that share it."""
    RateBucket.objects.filter(key=attempt.bucket_key).delete()
    rate_limit_headers.update(attempt.limit, lambda state: state._replace(remaining=state.rate.limit))


@transaction.atomic
def reset_and_refund(attempt: Attempt, refunded: Iterable[Attempt]) -> None:
    """Deletes the counter of the first attempt and refunds the others, with one commit for all."""
    for one in sorted([attempt, *refunded], key=lambda one: one.bucket_key):  # the order prevents deadlocks
        if one is attempt:
            reset(one)
        else:
            refund([one])


@transaction.atomic(savepoint=False)
def reset_account(account: str) -> None:
    """Deletes all counters of attempts about an account, from all clients."""
    buckets = RateBucket.objects.select_for_update().filter(subject=_hmac("subject", account)).order_by("key")
    RateBucket.objects.filter(key__in=list(buckets.values_list("key", flat=True))).delete()


def client_attempt(limit: str, rate: Rate) -> Attempt:
    """Returns an attempt that counts against the client of the current request."""
    return Attempt(limit, request_context.network(request_context.current.get().ip), rate)


def user_attempt(user: User, limit: str, rate: Rate) -> Attempt:
    """Returns an attempt that counts against a signed-in user, from any client."""
    return Attempt(limit, str(user.pk), rate, user_id=user.pk)


def password_attempts(user: User, actor: User | None) -> list[Attempt]:
    """Returns the attempts that a new password of the user counts as: one of its client or, if the request is
    authenticated, one of its actor.

    An actor who sets another user's password has ten times the limit. A command counts nothing.
    """
    rate = settings.RATE_PASSWORD
    if request_context.current.get() == request_context.NO_REQUEST:
        return []
    if actor is None:
        return [client_attempt("password", rate)]
    return [user_attempt(actor, "password", rate if actor == user else rate._replace(limit=10 * rate.limit))]


def count_email(email: str, kind: str, *, is_wanted: bool = True) -> bool:
    """Counts an email of a kind that anyone can request against its mailbox; returns whether it may be sent.

    The first email of each kind always goes out, so other kinds can't block a password reset; the link in it works
    even if no further email follows. All addresses with a tag (ana+shop@…) share that first email, because a client can
    make up tags. Emails that won't be sent are counted in their own bucket, so both cases cost the same.
    """
    if not settings.RATE_LIMITS:
        return True
    prefix = "" if is_wanted else "unwanted "
    mailbox, tag = _mailbox(email)
    key = f"{prefix}{mailbox}{tag and '+'}"
    first = Attempt(f"mail-{kind}", key, Rate(1, settings.RATE_MAIL.period), is_exposed=False)
    is_first = first.bucket_key in _count([first])
    return count_silently(_mailbox_attempt("mail", email, prefix)) or is_first


def count_email_change(email: str) -> bool:
    """Counts a link with which another user wants to move to the mailbox; returns whether it may be sent.

    It has its own limit, because that user sees whether the link was sent. A shared limit would reveal emails about an
    account of the mailbox.
    """
    return count_silently(_mailbox_attempt("mail-change", email))


def count_notice(email: str) -> bool:
    """Counts an unrequested email; returns whether it may be sent. Password resets don't use this limit up."""
    return count_silently(_mailbox_attempt("told", email))


def _mailbox_attempt(limit: str, email: str, prefix: str = "") -> Attempt:
    """Returns the attempt. Looks up the owner of every address, so that known and unknown ones take equally long."""
    user_id = User.objects.filter(email_key=canonical_email(email)).values_list("pk", flat=True).first()
    return Attempt(limit, prefix + _mailbox(email)[0], settings.RATE_MAIL, user_id=user_id)


def _mailbox(email: str) -> tuple[str, str]:
    """Returns an address's mailbox and tag: emails to ana+shop@example.com go to ana@example.com (RFC 5233)."""
    local, _at, domain = canonical_email(email).rpartition("@")
    name, _plus, tag = local.partition("+")
    return (f"{name}@{domain}", tag) if name else (f"{local}@{domain}", "")


@contextmanager
def token_attempt() -> Iterator[None]:
    """Counts an attempt to use a one-time token, and refunds it unless the token is invalid. Raises Throttled before
    the block looks up the token."""
    attempt = client_attempt("token", settings.RATE_TOKEN)
    consume([attempt])
    try:
        yield
    except InvalidToken:
        raise
    except AccountError:  # the token was valid, and something else was not, such as the user's new password
        refund([attempt])
        raise
    refund([attempt])


def prune() -> int:
    """Deletes counters whose window has ended; returns how many."""
    return pruning.delete(RateBucket.objects.filter(resets_at__lt=_now()))


_COUNT = """
INSERT INTO accounts_ratebucket (key, subject, hits, resets_at, noted)
VALUES {rows}
ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN accounts_ratebucket.resets_at <= %s THEN 1 ELSE accounts_ratebucket.hits + 1 END,
    noted = accounts_ratebucket.noted AND accounts_ratebucket.resets_at > %s,
    resets_at = CASE WHEN accounts_ratebucket.resets_at <= %s THEN excluded.resets_at
                     ELSE accounts_ratebucket.resets_at END
WHERE accounts_ratebucket.resets_at <= %s
    OR accounts_ratebucket.hits < CASE accounts_ratebucket.key {limits} END
RETURNING key, hits, resets_at
"""


def _count(attempts: list[Attempt]) -> set[str]:
    """Counts the attempts that are within their limits; returns the bucket keys of these.

    One statement decides, so that two processes can't both count the last attempt of a limit.
    """
    now = _now()
    rows: list[str | int] = []
    limits: list[str | int] = []
    for attempt in attempts:
        account = _hmac("subject", attempt.account) if attempt.account else ""
        window_ends_at = now + round(attempt.rate.period.total_seconds() * 1000)
        rows += [attempt.bucket_key, account, window_ends_at]
        limits += [attempt.bucket_key, attempt.rate.limit]
    number = len(attempts)
    sql = _COUNT.format(
        rows=", ".join(["(%s, %s, 1, %s, false)"] * number), limits=" ".join(["WHEN %s THEN %s"] * number)
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*rows, now, now, now, now, *limits])
        counted = {key: (hits, resets_at) for key, hits, resets_at in cursor.fetchall()}
    for attempt in attempts:
        if attempt.is_exposed and attempt.bucket_key in counted:
            hits, resets_at = counted[attempt.bucket_key]
            remaining, resets_in = attempt.rate.limit - hits, timedelta(milliseconds=resets_at - now)
            rate_limit_headers.record(attempt.limit, RateLimitState(attempt.rate, remaining, resets_in))
    return set(counted)


def _reject(attempt: Attempt) -> NoReturn:
    bucket = RateBucket.objects.filter(key=attempt.bucket_key).first() or RateBucket(resets_at=0, noted=True)
    wait = timedelta(milliseconds=max(0, bucket.resets_at - _now()))
    if attempt.is_audited and not bucket.noted:
        _record_rejection(attempt)
    rate_limit_headers.record(attempt.limit, RateLimitState(attempt.rate, 0, wait))
    raise Throttled(attempt.detail, retry_after=wait)


@transaction.atomic
def _record_rejection(attempt: Attempt) -> None:
    """Writes an audit event for the first rejected attempt of a window only. Otherwise, a flood would fill the disk."""
    if RateBucket.objects.filter(key=attempt.bucket_key, noted=False).update(noted=True):
        audit.record("limit:reached", attempt.user_id, actor=None, scope=attempt.limit)
        if attempt.on_first_rejection:
            attempt.on_first_rejection()


def _hmac(scope: str, value: str) -> str:
    """Returns the HMAC of a key, so that the table holds no addresses."""
    return salted_hmac(f"accounts.throttling.{scope}", value, algorithm="sha256").hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
