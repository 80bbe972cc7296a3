"""Links audit events into chains, so that one that was changed, removed or slipped in is found.

Each event carries an HMAC over itself and the hash of the event before it, and a row for each chain says where that
begins and ends. The key comes from SECRET_KEY, so that whoever can only write to the database cannot make a hash.

A single chain would let one transaction at a time write events, and two wait for each other in a circle. On PostgreSQL
a writer therefore locks the row of the first chain that no other writer has locked, and never waits: another chain is
made when all are taken. A role without rights on the tables can lock no row. SQLite has one writer at a time, and one
chain.
"""

import hmac
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts import audit_registry, batches, pruning
from accounts.audit_registry import Broken
from accounts.models import AuditChain, AuditEvent, User

CHAINS_AT_FIRST = 16  # on PostgreSQL, so that the first writers need make none
MOST_CHAINS = 1000  # more than PostgreSQL has connections
ROWS_AT_ONCE = 2000


@transaction.atomic(savepoint=False)
def append(events: Sequence[AuditEvent]) -> None:
    """Writes new events at the end of a chain, in the transaction of what they tell about."""
    chain = _free_chain()
    for event in events:
        event.chain, event.position = chain.number, chain.length + 1
        event.origin_salt = secrets.token_hex(16)
        event.origin_digest = _origin_digest(event)
        event.hash = _link(event, chain.head, settings.SECRET_KEY)
        chain.length, chain.head = event.position, event.hash
    AuditEvent.objects.append(events)
    audit_registry.write(chain, settings.SECRET_KEY)


def ensure() -> None:
    """Makes chains where none is of the present SECRET_KEY, as after its change.

    Writers make those that they lack over a second connection each, and wait for each other where pgbouncer has few.
    """
    if connection.vendor == "postgresql" and not any(map(_is_ours, AuditChain.objects.all())):
        for _number in range(CHAINS_AT_FIRST):
            audit_registry.add_chain()


def prune(before: datetime) -> int:
    """Removes the events from before that time; returns how many. Each chain remembers where it begins now."""
    removed = sum(_prune(number, before) for number in AuditChain.objects.values_list("number", flat=True))
    audit_registry.note()
    return removed


def verify() -> int:
    """Reads all events in bounded memory, and returns how many there are. Raises Broken for the first wrong one."""
    registry = audit_registry.read()
    known = AuditChain.objects.filter(pk=OuterRef("chain"))
    if stray := AuditEvent.objects.filter(~Exists(known)).order_by("id").first():
        raise Broken(f"{_name(stray)} is a link of no chain that is known.")
    number = sum(_verify(chain) for chain in AuditChain.objects.order_by("number"))
    audit_registry.verify(registry)
    return number


def _verify(chain: AuditChain) -> int:
    try:
        return _walk(chain)
    except Broken:
        now = AuditChain.objects.get(pk=chain.pk)
        if now.pruned == chain.pruned:
            raise
        return _walk(now)  # its oldest events were pruned while we read


def _walk(chain: AuditChain) -> int:
    key = audit_registry.key_of(chain)
    if key is None:
        raise Broken(f"The row of {chain} was changed, or SECRET_KEY is not the one it was written with.")
    before, expected = chain.pruned_hash, chain.pruned + 1
    for events in _batches(batches.read(AuditEvent.objects.filter(chain=chain.number), "position")):
        for event in events:
            if event.position != expected:
                raise Broken(
                    f"Events {expected} to {event.position - 1} of {chain}, before {_name(event)}, are missing."
                )
            if not hmac.compare_digest(event.hash, _link(event, before, key)):
                raise Broken(f"{_name(event)}, number {event.position} of {chain}, was changed or slipped in.")
            before, expected = event.hash, expected + 1
        _check_origins(events)
    if expected <= chain.length:
        raise Broken(f"Events {expected} to {chain.length} of {chain}, its newest, are missing.")
    return expected - 1 - chain.pruned


def _check_origins(events: list[AuditEvent]) -> None:
    """Address, device and request are as written, or blank for somebody who was deleted."""
    forgotten: dict[UUID | None, AuditEvent] = {}
    for event in events:
        if event.origin_salt and event.origin_digest != _origin_digest(event):
            raise Broken(f"Where {_name(event)} came from was changed.")
        if not event.origin_salt:
            forgotten.setdefault(event.actor_id or event.user_id, event)
    people = User.objects.filter(pk__in=[pk for pk in forgotten if pk], deletion_began_at=None)
    alive = {None, *people.values_list("pk", flat=True)}
    for person, event in forgotten.items():
        if person in alive:
            raise Broken(f"Where {_name(event)} came from was blanked, though nobody was deleted.")


def _batches(events: Iterator[AuditEvent]) -> Iterator[list[AuditEvent]]:
    while batch := list(islice(events, ROWS_AT_ONCE)):
        yield batch


def _prune(number: int, before: datetime) -> int:
    removed = 0
    while more := _prune_some(number, before):
        removed += more
    return removed


@transaction.atomic
def _prune_some(number: int, before: datetime) -> int:
    chain = _unlocked().filter(pk=number).first()
    if chain is None:
        return 0  # an event is being written to it: next time
    key = audit_registry.key_of(chain)
    links = AuditEvent.objects.filter(chain=number)
    newest = links.filter(created_at__lt=before).order_by("-position").first()
    if newest is None:
        return 0
    last = list(links.filter(position__lte=newest.position).order_by("position")[: pruning.AT_ONCE])[-1]
    chain.pruned, chain.pruned_hash = last.position, last.hash
    audit_registry.write(chain, key)
    return AuditEvent.objects.remove_links(number, last.position)


def _free_chain() -> AuditChain:
    """A chain that is ours until the transaction ends; one whose row is not of our making is left as it is.

    Waits when there are as many as there may be and all are taken. That ends: a writer that holds what another one
    waits for here is told of the circle by PostgreSQL, and its request is answered with 503.
    """
    foreign: set[int] = set()
    while True:
        # From the newest on: after a change of the key those are ours.
        chains = _unlocked().exclude(number__in=foreign).order_by("-number")
        chain = chains.first() or _another_chain(foreign)
        if chain and _is_ours(chain):
            return chain
        if chain:
            foreign.add(chain.number)


def _is_ours(chain: AuditChain) -> bool:
    return hmac.compare_digest(chain.hash, audit_registry.digest(chain.sealed(), settings.SECRET_KEY))


def _another_chain(foreign: set[int]) -> AuditChain | None:
    """Makes one, for the first writer alone; where there may be no more, waits for one of those that there are."""
    numbers = list(AuditChain.objects.exclude(number__in=foreign).values_list("number", flat=True))
    if len(numbers) < MOST_CHAINS:
        audit_registry.add_chain()
        return None
    return AuditChain.objects.select_for_update().get(pk=secrets.choice(numbers))


def _unlocked() -> QuerySet[AuditChain]:
    """The chains that no other transaction has locked; those that are read are locked until this one ends."""
    return AuditChain.objects.select_for_update(skip_locked=True)


def _link(event: AuditEvent, before: str, key: str) -> str:
    """The hash of an event; of where it came from it takes the digest alone, so that a person can be forgotten."""
    people = [str(pk) if pk else None for pk in (event.user_id, event.actor_id)]
    place = [event.chain, event.position, str(event.pk), event.created_at.isoformat()]
    request = [] if event.has_request_in_digest else [event.request_id]
    return audit_registry.digest([before, *place, event.kind, *people, *request, event.data, event.origin_digest], key)


def _origin_digest(event: AuditEvent) -> str:
    address = ip_address(event.ip).packed.hex() if event.ip else None
    request = [event.request_id] if event.has_request_in_digest else []
    return audit_registry.digest([address, event.user_agent, *request], event.origin_salt)


def _name(event: AuditEvent) -> str:
    return f"event {event.pk} ({event})"
