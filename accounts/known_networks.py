"""Networks that an account is known from: those of its logins, and those where a link from its mailbox was used.

A stranger's failed logins do not lock the user out there. Only a right password or a mailed secret makes a network
known.
"""

from uuid import UUID

from accounts import origin, sessions, throttling
from accounts.models import User
from accounts.throttling import Once, Try


def is_known(user_id: UUID) -> bool:
    """Whether the user logged in from the network of this request, or used a mailed link there, within 30 days."""
    ip = origin.current.get().ip
    return sessions.has_got_in_from(user_id, ip) or throttling.was_counted(_use_of_link(user_id))


def remember(user: User) -> None:
    """Makes the network of this request known for 30 days from now. Call it when a link from the mailbox was used."""
    if origin.current.get().ip is not None:
        use = _use_of_link(user.pk)
        throttling.forget(use)
        throttling.take([use])


def _use_of_link(user_id: UUID) -> Try:
    """A counter that never refuses: its row alone says that the network is known. Its key is an HMAC, as for all
    counters, so the table shows neither user nor network."""
    network = origin.network(origin.current.get().ip)
    return Try("mailed-link", f"{user_id} {network}", Once(sessions.TRUST_PERIOD, limit=1_000_000), is_told=False)
