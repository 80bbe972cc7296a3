"""Keeps a sealed list of the chains of audit events, so that one that is removed with its row is missed.

The list notes how long each chain was and how it ended: when the chain is made, and whenever old events are pruned,
which happens every few minutes. Without the key an attacker can only put back an older state. That is found as well,
unless everything is put back together: the list, all rows of chains, and the events.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.utils.crypto import salted_hmac

from accounts.models import AuditChain, AuditEvent, AuditRegistry

ALIAS = "audit"  # of the connection over which chains are made


class Broken(Exception):
    """An event was changed, removed or written without the key; the text says which."""


def digest(values: Sequence[object], key: str) -> str:
    message = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return salted_hmac("accounts.audit_chain", message, secret=key, algorithm="sha256").hexdigest()


def key_of(row: AuditChain | AuditRegistry) -> str | None:
    """The key with which the row is sealed, the present one or one of those before it; None if the row was changed."""
    keys = [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
    return next((key for key in keys if hmac.compare_digest(row.hash, digest(row.sealed(), key))), None)


def write(row: AuditChain | AuditRegistry, key: str | None, using: str = DEFAULT_DB_ALIAS) -> None:
    """Seals and writes the row; one whose key is lost keeps the hash that gives it away."""
    if key is not None:
        row.hash = digest(row.sealed(), key)
    row.save(using=using)


def add_chain() -> None:
    """Makes another chain, which stands at once, whatever becomes of the caller's transaction on PostgreSQL."""
    with _short_transaction() as using:
        registry = _locked(using)
        chains = AuditChain.objects.using(using)
        known = {int(number) for number in registry.chains} | set(chains.values_list("number", flat=True))
        chain = AuditChain(number=max(known, default=-1) + 1)  # never a number that was there before
        write(chain, settings.SECRET_KEY, using)
        _note(registry, [chain], using)


@transaction.atomic
def note() -> None:
    """Notes how long the chains are; one that is not what was noted before keeps its old note, which gives it away."""
    registry = _locked(DEFAULT_DB_ALIAS)
    chains = [chain for chain in AuditChain.objects.all() if key_of(chain) is not None]
    _note(registry, [chain for chain in chains if _goes_on(chain, registry)], DEFAULT_DB_ALIAS)


def read() -> AuditRegistry:
    """The list as it is now. Raises Broken when there is none."""
    registry = AuditRegistry.objects.first()
    if registry is None:
        raise Broken("The list of chains is missing.")
    return registry


def verify(registry: AuditRegistry) -> None:
    """Compares the chains with the list, which was read before them. Raises Broken."""
    if key_of(registry) is None:
        raise Broken("The list of chains was changed, or SECRET_KEY is not the one it was written with.")
    chains = {str(chain.number): chain for chain in AuditChain.objects.order_by("number")}
    for number, (length, _head) in sorted(registry.chains.items()):
        if number not in chains:
            raise Broken(f"Chain {number} is missing with all of its events, of which there were {length} or more.")
        if not _goes_on(chains[number], registry):
            raise Broken(f"Chain {number} was put back to an older state: it had {length} events or more.")


def _goes_on(chain: AuditChain, registry: AuditRegistry) -> bool:
    """Whether the chain still holds the event at which it was noted to end."""
    noted: tuple[int, str] = registry.chains.get(str(chain.number), (0, ""))
    length, head = noted
    if length <= chain.pruned:
        return length < chain.pruned or head == chain.pruned_hash
    links = AuditEvent.objects.filter(chain=chain.number, position=length, hash=head)
    return length <= chain.length and (links.exists() or _was_pruned(chain, length))


def _was_pruned(chain: AuditChain, position: int) -> bool:
    """Since the chain was read."""
    return AuditChain.objects.filter(pk=chain.pk, pruned__gte=position).exists()


def _locked(using: str) -> AuditRegistry:
    """A list that was removed is made again without a seal: that it was gone stays to be seen."""
    return AuditRegistry.objects.using(using).select_for_update().get_or_create(pk=1)[0]


def _note(registry: AuditRegistry, chains: list[AuditChain], using: str) -> None:
    key = key_of(registry)
    registry.chains |= {str(chain.number): [chain.length, chain.head] for chain in chains}
    write(registry, key, using)


@contextmanager
def _short_transaction() -> Iterator[str]:
    """One that waits for nothing but the list: the caller's own may hold what another one waits for.

    SQLite has one writer at a time, so that it is the caller's own. On PostgreSQL it has a connection of its own, which
    comes from no pool: the pool's may all be in the hands of those who wait for one here.
    """
    if connection.vendor == "sqlite":
        yield DEFAULT_DB_ALIAS
        return
    own = connection.copy(alias=ALIAS)
    own.settings_dict["OPTIONS"].pop("pool", None)
    connections[ALIAS] = own
    try:
        with transaction.atomic(using=ALIAS):
            yield ALIAS
    finally:
        own.close()
        del connections[ALIAS]
