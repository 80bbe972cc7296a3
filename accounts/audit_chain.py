"""Links audit events into chains, so that one that was changed, removed or slipped in is found.

Each event carries an HMAC over itself and the hash of the event before it, and a row for each chain says where that
begins and ends. The key comes from SECRET_KEY, so that whoever can only write to the database cannot make a hash.

A single chain would let one transaction at a time write events, and two wait for each other in a circle. On PostgreSQL
a writer therefore takes the first chain that nobody else writes to, and never waits: there are as many chains as there
were ever writers at one moment. SQLite has one writer at a time, and one chain.
"""

import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils.crypto import salted_hmac

from accounts import batches, pruning
from accounts.models import AuditChain, AuditEvent, User

LOCK = 0x61756474  # the first of the two numbers of our advisory locks; the other is the chain's
MOST_CHAINS = 1000
ROWS_AT_ONCE = 2000


class Broken(Exception):
    """An event is not as it was written, or is missing, or was written by somebody else; the text says which."""


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
    _write(chain, settings.SECRET_KEY)


def prune(before: datetime) -> int:
    """Removes the events from before that time; returns how many. Each chain remembers where it begins now."""
    return sum(_prune(number, before) for number in AuditChain.objects.values_list("number", flat=True))


def verify() -> int:
    """Reads all events in bounded memory, and returns how many there are. Raises Broken for the first wrong one."""
    known = AuditChain.objects.filter(pk=OuterRef("chain"))
    if stray := AuditEvent.objects.filter(~Exists(known)).order_by("id").first():
        raise Broken(f"{_name(stray)} is a link of no chain that is known.")
    return sum(_verify(chain) for chain in AuditChain.objects.order_by("number"))


def _verify(chain: AuditChain) -> int:
    try:
        return _walk(chain)
    except Broken:
        now = AuditChain.objects.get(pk=chain.pk)
        if now.pruned == chain.pruned:
            raise
        return _walk(now)  # its oldest events were pruned while we read


def _walk(chain: AuditChain) -> int:
    key = _key_of(chain)
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
    alive = {None, *User.objects.filter(pk__in=[pk for pk in forgotten if pk]).values_list("pk", flat=True)}
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
    if _first_unlocked(number, number) is None:
        return 0  # somebody writes to it: next time
    chain = AuditChain.objects.get(pk=number)
    key = _key_of(chain)
    links = AuditEvent.objects.filter(chain=number)
    newest = links.filter(created_at__lt=before).order_by("-position").first()
    if newest is None:
        return 0
    last = list(links.filter(position__lte=newest.position).order_by("position")[: pruning.AT_ONCE])[-1]
    chain.pruned, chain.pruned_hash = last.position, last.hash
    _write(chain, key)
    return AuditEvent.objects.remove_links(number, last.position)


def _free_chain() -> AuditChain:
    """A chain that is ours until the transaction ends; one whose row is not of our making is left as it is."""
    start = 0
    while (number := _first_unlocked(start, MOST_CHAINS)) is not None:
        chain = AuditChain.objects.filter(pk=number).first() or AuditChain(number=number)
        if chain._state.adding or hmac.compare_digest(chain.hash, _seal(chain, settings.SECRET_KEY)):
            return chain
        start = number + 1
    raise RuntimeError(f"there are {MOST_CHAINS} audit chains, and none of them can be written to")


def _first_unlocked(start: int, end: int) -> int | None:
    """Locks the first chain from `start` to `end` that nobody has locked, until the transaction ends."""
    if connection.vendor == "sqlite":
        return start
    with connection.cursor() as cursor:
        locks = "SELECT number FROM generate_series(%s, %s) number WHERE pg_try_advisory_xact_lock(%s, number) LIMIT 1"
        cursor.execute(locks, [start, end, LOCK])
        row = cursor.fetchone()
    return row[0] if row else None


def _write(chain: AuditChain, key: str | None) -> None:
    """Writes the row; one whose key is lost keeps the hash that gives it away."""
    if key is not None:
        chain.hash = _seal(chain, key)
    chain.save()


def _key_of(chain: AuditChain) -> str | None:
    """The key with which the chain is written: the present one, or one of those before it."""
    keys = [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
    return next((key for key in keys if hmac.compare_digest(chain.hash, _seal(chain, key))), None)


def _seal(chain: AuditChain, key: str) -> str:
    return _hmac([chain.number, chain.pruned, chain.pruned_hash, chain.length, chain.head], key)


def _link(event: AuditEvent, before: str, key: str) -> str:
    """The hash of an event; of where it came from it takes the digest alone, so that a person can be forgotten."""
    people = [str(pk) if pk else None for pk in (event.user_id, event.actor_id)]
    place = [event.chain, event.position, str(event.pk), event.created_at.isoformat()]
    request = [] if event.has_request_in_digest else [event.request_id]
    return _hmac([before, *place, event.kind, *people, *request, event.data, event.origin_digest], key)


def _origin_digest(event: AuditEvent) -> str:
    address = ip_address(event.ip).packed.hex() if event.ip else None
    request = [event.request_id] if event.has_request_in_digest else []
    return _hmac([address, event.user_agent, *request], event.origin_salt)


def _hmac(values: list[object], key: str) -> str:
    message = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return salted_hmac("accounts.audit_chain", message, secret=key, algorithm="sha256").hexdigest()


def _name(event: AuditEvent) -> str:
    return f"event {event.pk} ({event})"
