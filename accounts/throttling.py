"""How often may this be tried: counters in the database, exact over all processes, of windows that start at a try."""

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

from accounts import audit, origin, pruning, quotas
from accounts.addresses import canonical_email
from accounts.errors import AccountError, InvalidToken, Overloaded, Throttled
from accounts.models import RateBucket, User
from accounts.quotas import Quota, Rate

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


class Once(NamedTuple):
    """The rate of what may be once within a period."""

    period: timedelta
    limit: int = 1


class Try(NamedTuple):
    """What is counted: a value within the scope of a limit.

    `subject` is the account it is about, if it is about one, and `user_id` whose that is. `is_told` says whether the
    client may know how much is left; who is refused learns of it anyway. `refusal` is what a refused client is told,
    and `when_full` is called at the first refusal of a window, in the transaction that notes it.
    """

    scope: str
    value: str
    rate: Rate
    subject: str = ""
    user_id: UUID | None = None
    is_told: bool = True
    refusal: "_StrOrPromise | None" = None
    when_full: Callable[[], None] | None = None

    @property
    def key(self) -> str:
        return _hmac(self.scope, self.value)


def take(tries: Iterable[Try]) -> None:
    """Counts all of the tries, or none of them. Raises Throttled when one is above its limit.

    A try that is refused costs nothing, so it counts nowhere: who is stopped at one account still has the others.
    """
    ordered = sorted(tries, key=lambda one: one.key)  # so that no two wait for each other's rows
    if not settings.RATE_LIMITS or not ordered:
        return
    with transaction.atomic():
        counted = _count(ordered)
        full = next((one for one in ordered if one.key not in counted), None)
        transaction.set_rollback(full is not None)
    if full:
        quotas.withdraw(one.scope for one in ordered)
        _refuse(full)


@contextmanager
def counted(tries: list[Try]) -> Iterator[None]:
    """Counts the tries, unless the service is too busy to carry them out. Raises Throttled."""
    take(tries)
    try:
        yield
    except Overloaded:
        give_back(tries)
        raise


def is_allowed(one: Try) -> bool:
    """Counts the try and returns True, or returns False when it is above its limit. The client is told neither."""
    with quotas.observed():
        try:
            take([one])
        except Throttled:
            return False
    return True


def give_back(tries: Iterable[Try]) -> None:
    """Uncounts tries that turned out to be no failures."""
    for one in tries if settings.RATE_LIMITS else ():
        RateBucket.objects.filter(key=one.key, hits__gt=0).update(hits=F("hits") - 1)
        quotas.correct(one.scope, lambda quota: quota._replace(remaining=quota.remaining + 1))


def was_counted(one: Try) -> bool:
    """Whether it was counted in a window that is not over. Counts nothing."""
    return RateBucket.objects.filter(key=one.key, hits__gt=0, resets_at__gt=_now()).exists()


def forget(one: Try) -> None:
    """Uncounts all that was counted with this one."""
    RateBucket.objects.filter(key=one.key).delete()
    quotas.correct(one.scope, lambda quota: quota._replace(remaining=quota.rate.limit))


@transaction.atomic
def forget_subject(subject: str) -> None:
    """Forgets all that was counted about an account, whoever tried."""
    theirs = RateBucket.objects.select_for_update().filter(subject=_hmac("subject", subject)).order_by("key")
    RateBucket.objects.filter(key__in=list(theirs.values_list("key", flat=True))).delete()


def client_try(scope: str, rate: Rate) -> Try:
    """What counts against whoever sends the current request."""
    return Try(scope, origin.network(origin.current.get().ip), rate)


def user_try(user: User, scope: str, rate: Rate) -> Try:
    """What counts against a user who is signed in, wherever they sign in from."""
    return Try(scope, str(user.pk), rate, user_id=user.pk)


def password_try(user: User, actor: User | None) -> list[Try]:
    """What a new password of the user counts against: its client or, where one is signed in, its actor.

    An actor who creates others may do so ten times as often. A command counts nowhere.
    """
    rate = settings.RATE_PASSWORD
    if origin.current.get() == origin.NOWHERE:
        return []
    if actor is None:
        return [client_try("password", rate)]
    more = rate if actor == user else rate._replace(limit=10 * rate.limit)
    return [user_try(actor, "password", more)]


def may_mail(email: str, kind: str, *, is_wanted: bool = True) -> bool:
    """Whether a mailbox may be sent one more mail of a kind that anybody can ask for; counts it.

    The first of a kind is sent in any case: no other mails hold up somebody's reset, and who gets no further one has a
    link that works. All addresses with a tag (ana+shop@…) share that first mail, as anybody can make up tags without
    end. What will not be sent as it is not wanted is counted apart, for the same work.
    """
    if not settings.RATE_LIMITS:
        return True
    apart = "" if is_wanted else "unwanted "
    mailbox, tag = _mailbox(email)
    first = Try(f"mail-{kind}", f"{apart}{mailbox}{tag and '+'}", Once(settings.RATE_MAIL.period), is_told=False)
    is_first = first.key in _count([first])
    return is_allowed(_mailbox_try("mail", email, apart)) or is_first


def may_mail_move(email: str) -> bool:
    """The same for a link with which another user wants to move to the mailbox, counted apart.

    That user sees whether a link was sent. If other emails counted, it would tell whether the mailbox has an account.
    """
    return is_allowed(_mailbox_try("mail-change", email))


def may_tell(email: str) -> bool:
    """The same for what nobody asked for, counted apart: forgotten passwords must not use up the welcome."""
    return is_allowed(_mailbox_try("told", email))


def _mailbox_try(scope: str, email: str, apart: str = "") -> Try:
    """Looks for the owner of the address with each try, so that all addresses take as long."""
    user_id = User.objects.filter(email_key=canonical_email(email)).values_list("pk", flat=True).first()
    return Try(scope, apart + _mailbox(email)[0], settings.RATE_MAIL, user_id=user_id)


def _mailbox(email: str) -> tuple[str, str]:
    """The mailbox of an address and its tag: emails to ana+shop@example.com arrive at ana@example.com (RFC 5233)."""
    local, _at, domain = canonical_email(email).rpartition("@")
    name, _plus, tag = local.partition("+")
    return (f"{name}@{domain}", tag) if name else (f"{local}@{domain}", "")


@contextmanager
def token_try() -> Iterator[None]:
    """Counts a one-time token that is tried, unless it is one. Raises Throttled before anything is looked up."""
    one = client_try("token", settings.RATE_TOKEN)
    take([one])
    try:
        yield
    except InvalidToken:
        raise
    except AccountError:  # the token was good, whatever else is wrong: somebody looks for a password that is taken
        give_back([one])
        raise
    give_back([one])


def prune() -> int:
    """Deletes counters whose window is over; returns how many."""
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


def _count(tries: list[Try]) -> set[str]:
    """The keys of the tries that were within their limits and are counted now; the others are not.

    One statement decides, so that no two processes can both be the last within a limit.
    """
    now = _now()
    rows: list[str | int] = []
    limits: list[str | int] = []
    for one in tries:
        rows += [one.key, _hmac("subject", one.subject) if one.subject else "", now + _milliseconds(one)]
        limits += [one.key, one.rate.limit]
    sql = _COUNT.format(
        rows=", ".join(["(%s, %s, 1, %s, false)"] * len(tries)), limits=" ".join(["WHEN %s THEN %s"] * len(tries))
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*rows, now, now, now, now, *limits])
        counted = {key: (hits, resets_at) for key, hits, resets_at in cursor.fetchall()}
    for one in tries:
        if one.is_told and one.key in counted:
            hits, resets_at = counted[one.key]
            quotas.note(one.scope, Quota(one.rate, one.rate.limit - hits, timedelta(milliseconds=resets_at - now)))
    return set(counted)


def _milliseconds(one: Try) -> int:
    return round(one.rate.period.total_seconds() * 1000)


def _refuse(full: Try) -> NoReturn:
    bucket = RateBucket.objects.filter(key=full.key).first() or RateBucket(resets_at=0, noted=True)
    wait = timedelta(milliseconds=max(0, bucket.resets_at - _now()))
    if not bucket.noted:
        _write_down(full)
    quotas.note(full.scope, Quota(full.rate, 0, wait))
    raise Throttled(full.refusal, retry_after=wait)


@transaction.atomic
def _write_down(full: Try) -> None:
    """Only the first refusal of a window: a flood must not fill the disk."""
    if RateBucket.objects.filter(key=full.key, noted=False).update(noted=True):
        audit.record("limit:reached", full.user_id, actor=None, scope=full.scope)
        if full.when_full:
            full.when_full()


def _hmac(scope: str, value: str) -> str:
    """Keys name nobody: who reads the table learns no address."""
    return salted_hmac(f"accounts.throttling.{scope}", value, algorithm="sha256").hexdigest()


def _now() -> int:
    return time.time_ns() // 1_000_000
