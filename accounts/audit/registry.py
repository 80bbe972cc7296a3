"""Keeps a sealed list of the chains of audit events, which reveals that a chain was deleted with its row.

The list stores the length and the last hash of each chain: when the chain is created, and whenever old events are
pruned, every few minutes. Without the key, an attacker can only restore an older state. That is found too, unless the
attacker restores the list, all rows of chains, and the events together.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.utils.crypto import salted_hmac

from accounts.models import AuditChain, AuditEvent, AuditRegistry

ALIAS = "audit"  # of the connection that creates chains


class BrokenChain(Exception):
    """An event was changed, removed or written without the key. The text says which one."""


def digest(values: Sequence[object], key: str) -> str:
    message = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return salted_hmac("accounts.audit_chain", message, secret=key, algorithm="sha256").hexdigest()


def key_of(row: AuditChain | AuditRegistry) -> str | None:
    """Returns the key that seals the row, the current or an earlier SECRET_KEY. Returns None if the row was changed."""
    keys = [settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS)]
    return next((key for key in keys if hmac.compare_digest(row.hash, digest(row.sealed(), key))), None)


def write(row: AuditChain | AuditRegistry, key: str | None, using: str = DEFAULT_DB_ALIAS) -> None:
    """Seals the row and saves it. A row whose key is unknown keeps its invalid hash, which reveals the change."""
    if key is not None:
        row.hash = digest(row.sealed(), key)
    row.save(using=using)


def add_chain() -> None:
    """Creates another chain. On PostgreSQL it is committed at once, even if the caller's transaction rolls back."""
    with _short_transaction() as using:
        registry = _locked(using)
        chains = AuditChain.objects.using(using)
        known = {int(number) for number in registry.chains} | set(chains.values_list("number", flat=True))
        chain = AuditChain(number=max(known, default=-1) + 1)  # never a number that was used before
        write(chain, settings.SECRET_KEY, using)
        _store_ends(registry, [chain], using)


@transaction.atomic
def update() -> None:
    """Updates the list with the length of each chain. A chain that contradicts the list keeps its old entry."""
    registry = _locked(DEFAULT_DB_ALIAS)
    chains = [chain for chain in AuditChain.objects.all() if key_of(chain) is not None]
    _store_ends(registry, [chain for chain in chains if _contains_listed_end(chain, registry)], DEFAULT_DB_ALIAS)


def read() -> AuditRegistry:
    """Returns the stored list. Raises BrokenChain if there is none."""
    registry = AuditRegistry.objects.first()
    if registry is None:
        raise BrokenChain("The list of chains is missing.")
    return registry


def verify(registry: AuditRegistry) -> None:
    """Compares the chains with the list, which must be read before them. Raises BrokenChain."""
    if key_of(registry) is None:
        raise BrokenChain("The list of chains was changed, or SECRET_KEY is not the one it was written with.")
    chains = {str(chain.number): chain for chain in AuditChain.objects.order_by("number")}
    for number, (length, _head) in sorted(registry.chains.items()):
        if number not in chains:
            raise BrokenChain(f"Chain {number} is missing with all of its events. It had at least {length}.")
        if not _contains_listed_end(chains[number], registry):
            raise BrokenChain(f"Chain {number} was restored to an older state. It had at least {length} events.")


def _contains_listed_end(chain: AuditChain, registry: AuditRegistry) -> bool:
    """Returns whether the chain still has the event that was its last one according to the list."""
    listed: tuple[int, str] = registry.chains.get(str(chain.number), (0, ""))
    length, head = listed
    if length <= chain.pruned:
        return length < chain.pruned or head == chain.pruned_hash
    links = AuditEvent.objects.filter(chain=chain.number, position=length, hash=head)
    pruned_meanwhile = AuditChain.objects.filter(pk=chain.pk, pruned__gte=length)
    return length <= chain.length and (links.exists() or pruned_meanwhile.exists())


def _locked(using: str) -> AuditRegistry:
    """Locks the list and returns it. A deleted list is created again without a seal, so verify() still reports it."""
    return AuditRegistry.objects.using(using).select_for_update().get_or_create(pk=1)[0]


def _store_ends(registry: AuditRegistry, chains: list[AuditChain], using: str) -> None:
    key = key_of(registry)
    registry.chains |= {str(chain.number): [chain.length, chain.head] for chain in chains}
    write(registry, key, using)


@contextmanager
def _short_transaction() -> Iterator[str]:
    """Opens a transaction that waits for nothing but the list. The caller's own may hold locks that others wait for.

    SQLite has one writer at a time, so there it is the caller's own. On PostgreSQL it uses a connection outside the
    pool, because transactions that wait here may hold all connections of the pool.
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
