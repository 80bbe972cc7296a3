"""The networks that an account is known from: those of its logins, and those where an emailed link was used.

Failed logins of other clients never lock the user out in a known network. Only a right password or an emailed one-time
token makes a network known.
"""

from uuid import UUID

from django.db import transaction

from accounts import request_context, sessions
from accounts.limits import rate_limits
from accounts.limits.rate_limits import Attempt
from accounts.limits.rates import Rate
from accounts.models import User


def is_known(user_id: UUID) -> bool:
    """Returns whether the user logged in from the client's network, or used an emailed link there, within 30 days."""
    ip = request_context.current.get().ip
    return sessions.has_recent_login_from(user_id, ip) or rate_limits.was_counted(_use_of_link(user_id))


def remember(user: User) -> None:
    """Makes the client's network known for 30 days. Call it when the user has used an emailed link."""
    if request_context.current.get().ip is not None:
        use = _use_of_link(user.pk)
        with transaction.atomic():  # otherwise another request could see the network unknown between the two
            rate_limits.reset(use)
            rate_limits.consume([use])


def _use_of_link(user_id: UUID) -> Attempt:
    """Returns an attempt that no limit rejects: the row of its counter says that the network is known.

    The key of the row is an HMAC, as for all counters, so the table shows neither user nor network.
    """
    network = request_context.network(request_context.current.get().ip)
    return Attempt("mailed-link", f"{user_id} {network}", Rate(1_000_000, sessions.TRUST_PERIOD), is_exposed=False)
