"""Links audit events into chains, which reveal an event that was changed, removed or inserted.

Each event has an HMAC over itself and the hash of the event before it. A row for each chain says where the chain begins
and ends. The key is derived from SECRET_KEY, so an attacker who can only write to the database can't compute a hash.

With a single chain, only one transaction at a time could write events, and two transactions could deadlock. On
PostgreSQL a writer therefore locks the row of the first chain that no other writer has locked. It never waits: if all
chains are locked, it creates another one. Locking a row needs privileges on the tables. SQLite has one writer at a
time, and one chain.
"""

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import batches, pruning
from accounts.audit import registry
from accounts.audit.registry import BrokenChain
from accounts.models import AuditChain, AuditEvent, User, constant_writes

INITIAL_CHAINS = 16  # on PostgreSQL, so that the first writers need not create any
MAX_CHAINS = 1000  # more than PostgreSQL has connections
BATCH_SIZE = 2000


@transaction.atomic(savepoint=False)
def append(events: Sequence[AuditEvent]) -> None:
    """Writes new events at the end of a chain, in the transaction of the changes that they describe."""
    chain = _free_chain()
    for event in events:
        event.chain, event.position = chain.number, chain.length + 1
        event.origin_salt = secrets.token_hex(16)
        event.origin_digest = _context_digest(event)
        event.hash = _link(event, chain.head, settings.SECRET_KEY)
        chain.length, chain.head = event.position, event.hash
    AuditEvent.objects.append(events)
    chain.hash = registry.digest(chain.sealed(), settings.SECRET_KEY)
    constant_writes.update(chain, ("length", "head", "hash"))


def ensure_chains() -> None:
    """Creates chains if none is sealed with the current SECRET_KEY, as after a change of the key.

    Otherwise, writers would create them, each over a second connection, and wait for each other if pgbouncer has few.
    """
    if connection.vendor == "postgresql" and not any(map(_is_ours, AuditChain.objects.all())):
        for _number in range(INITIAL_CHAINS):
            registry.add_chain()


def prune(before: datetime) -> int:
    """Deletes the events from before that time; returns how many. Each chain stores its new beginning."""
    removed = 0
    for number in AuditChain.objects.values_list("number", flat=True):
        while more := _prune_batch(number, before):
            removed += more
    registry.update()
    return removed


def verify() -> int:
    """Reads all events in bounded memory; returns how many there are. Raises BrokenChain at the first broken link."""
    listed = registry.read()
    known = AuditChain.objects.filter(pk=OuterRef("chain"))
    if stray := AuditEvent.objects.filter(~Exists(known)).order_by("id").first():
        raise BrokenChain(f"{_name(stray)} belongs to no known chain.")
    number = sum(_verify(chain) for chain in AuditChain.objects.order_by("number"))
    registry.verify(listed)
    return number


def _verify(chain: AuditChain) -> int:
    try:
        return _walk(chain)
    except BrokenChain:
        now = AuditChain.objects.get(pk=chain.pk)
        if now.pruned == chain.pruned:
            raise
        return _walk(now)  # the oldest events were pruned while this read them


def _walk(chain: AuditChain) -> int:
    key = registry.key_of(chain)
    if key is None:
        raise BrokenChain(f"The row of {chain} was changed, or SECRET_KEY is not the one it was written with.")
    before, expected = chain.pruned_hash, chain.pruned + 1
    remaining = batches.read(AuditEvent.objects.filter(chain=chain.number), "position")
    while events := list(islice(remaining, BATCH_SIZE)):
        for event in events:
            if event.position != expected:
                raise BrokenChain(
                    f"Events {expected} to {event.position - 1} of {chain}, before {_name(event)}, are missing."
                )
            if not hmac.compare_digest(event.hash, _link(event, before, key)):
                raise BrokenChain(f"{_name(event)}, number {event.position} of {chain}, was changed or inserted.")
            before, expected = event.hash, expected + 1
        _check_request_contexts(events)
    if expected <= chain.length:
        raise BrokenChain(f"Events {expected} to {chain.length} of {chain}, its newest, are missing.")
    return expected - 1 - chain.pruned


def _check_request_contexts(events: list[AuditEvent]) -> None:
    """Checks that IP address, device and request id are unchanged, or were erased because their user was deleted."""
    erased: dict[UUID | None, AuditEvent] = {}
    for event in events:
        if event.origin_salt and event.origin_digest != _context_digest(event):
            raise BrokenChain(f"The IP address, device or request id of {_name(event)} was changed.")
        if not event.origin_salt:
            erased.setdefault(event.actor_id or event.user_id, event)
    users = User.objects.filter(pk__in=[pk for pk in erased if pk], deletion_began_at=None)
    existing = {None, *users.values_list("pk", flat=True)}
    for user_id, event in erased.items():
        if user_id in existing:
            raise BrokenChain(f"The IP address and device of {_name(event)} were erased, but its user wasn't deleted.")


@transaction.atomic
def _prune_batch(number: int, before: datetime) -> int:
    chain = _unlocked().filter(pk=number).first()
    if chain is None:
        return 0  # a writer has locked it; the next run prunes it
    key = registry.key_of(chain)
    links = AuditEvent.objects.filter(chain=number)
    newest = links.filter(created_at__lt=before).order_by("-position").first()
    if newest is None:
        return 0
    last = list(links.filter(position__lte=newest.position).order_by("position")[: pruning.BATCH_SIZE])[-1]
    chain.pruned, chain.pruned_hash = last.position, last.hash
    registry.write(chain, key)
    return AuditEvent.objects.remove_links(number, last.position)


def _free_chain() -> AuditChain:
    """Locks a chain that is sealed with the current key until the transaction ends, and returns it.

    Waits if all chains are locked and there may be no more. If that is a deadlock, PostgreSQL detects it and aborts one
    of the writers, whose request is answered with 503.
    """
    foreign: set[int] = set()
    while True:
        chain = _newest_unlocked(foreign) or _another_chain(foreign)
        if chain and _is_ours(chain):
            return chain
        if chain:
            foreign.add(chain.number)


def _newest_unlocked(foreign: set[int]) -> AuditChain | None:
    """Locks the newest chain that no other transaction has locked. After a change of the key, only the newest chains
    are sealed with it."""
    if foreign:
        return _unlocked().exclude(number__in=foreign).order_by("-number").first()
    # Each event reads its chain. Django needs five times as long to build this query.
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST + " FOR UPDATE SKIP LOCKED" * connection.features.has_select_for_update_skip_locked)
        row = cursor.fetchone()
    return AuditChain.from_db(connection.alias, _COLUMNS, row) if row else None


_COLUMNS = [field.attname for field in AuditChain._meta.concrete_fields]
_NEWEST = f"SELECT {', '.join(_COLUMNS)} FROM accounts_auditchain ORDER BY number DESC LIMIT 1"  # noqa: S608


def _is_ours(chain: AuditChain) -> bool:
    return hmac.compare_digest(chain.hash, registry.digest(chain.sealed(), settings.SECRET_KEY))


def _another_chain(foreign: set[int]) -> AuditChain | None:
    """Creates a chain for the first writer to lock. If there may be no more, waits for an existing one."""
    numbers = list(AuditChain.objects.exclude(number__in=foreign).values_list("number", flat=True))
    if len(numbers) < MAX_CHAINS:
        registry.add_chain()
        return None
    return AuditChain.objects.select_for_update().get(pk=secrets.choice(numbers))


def _unlocked() -> QuerySet[AuditChain]:
    """Returns the chains that no other transaction has locked. Reading a row locks it until the transaction ends."""
    return AuditChain.objects.select_for_update(skip_locked=True)


def _link(event: AuditEvent, before: str, key: str) -> str:
    """Returns the hash of an event. It covers the request context only by its digest, so that this can be erased."""
    users = [str(pk) if pk else None for pk in (event.user_id, event.actor_id)]
    place = [event.chain, event.position, str(event.pk), event.created_at.isoformat()]
    request = [] if event.has_request_in_digest else [event.request_id]
    return registry.digest([before, *place, event.kind, *users, *request, event.data, event.origin_digest], key)


def _context_digest(event: AuditEvent) -> str:
    address = ip_address(event.ip).packed.hex() if event.ip else None
    request = [event.request_id] if event.has_request_in_digest else []
    return registry.digest([address, event.user_agent, *request], event.origin_salt)


def _name(event: AuditEvent) -> str:
    return f"event {event.pk} ({event})"
