"""Inviting somebody to choose a password, taking that back, and accepting."""

from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.enums import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit, authority, credentials, known_networks, throttling, tokens
from accounts.errors import Conflict
from accounts.models import OneTimeToken, User
from accounts.signals import invitation_revoked, user_invited
from accounts.tokens import Purpose


class State(TextChoices):
    NONE = "none", _("none")
    SENT = "sent", _("sent")
    ACCEPTED = "accepted", _("accepted")
    EXPIRED = "expired", _("expired")
    REVOKED = "revoked", _("revoked")


OPEN = (State.SENT, State.EXPIRED)


def invite(user: User, *, actor: User | None) -> None:
    """Owes an invitation to a user who has no password yet; a newer one ends the older links.

    Raises PermissionDenied, NotFound, Conflict.
    """
    with authority.changing(user, actor) as current:
        if current.has_usable_password() or not current.is_active:
            raise Conflict(_("Only an active user without a password can be invited."))
        owe(current, actor=actor)


def owe(user: User, *, actor: User | None) -> None:
    """Owes the mail to somebody who may be invited. Call it within the transaction that made sure of it."""
    user.invited_at, user.invitation_ended_at = timezone.now(), None
    user.save(update_fields=["invited_at", "invitation_ended_at"])
    audit.record("user:invited", user, actor=actor)
    user_invited.send(sender=User, user=user)


def revoke(user: User, *, actor: User | None) -> None:
    """Takes an invitation back that was not accepted: its links are dead, and a forgotten password brings no other.

    Raises PermissionDenied, NotFound, Conflict.
    """
    with authority.changing(user, actor) as current:
        if state(current) not in OPEN:
            raise Conflict(_("There is no open invitation."))
        tokens.end_all(current)
        audit.record("user:invitation_revoked", current, actor=actor)
        invitation_revoked.send(sender=User, user=current)


def accept(secret: str, password: str, *, full_name: str | None = None) -> User:
    """Sets the first password of whom the secret was mailed to, which also proves the address.

    Raises InvalidToken, InvalidInput, Throttled, Overloaded.
    """
    with throttling.token_try():
        token = tokens.find(secret, Purpose.INVITATION)
        user = token.user
        user.full_name = full_name or user.full_name
        encoded = credentials.new_hash(password, user, field="password")
        with transaction.atomic():
            tokens.consume(token)
            user.email_verified = True
            user.save(update_fields=["full_name", "email_verified"] if full_name else ["email_verified"])
            audit.record("user:invitation_accepted", user, actor=user)
            known_networks.remember(user)
            credentials.replace_password(user, encoded, actor=user)
    return user


def state(user: User) -> State:
    """How the invitation of one user stands."""
    stored: Any = with_states(User.objects.filter(pk=user.pk)).first()
    return State(stored.invitation) if stored else State.NONE


def with_states(users: QuerySet[User]) -> QuerySet[User]:
    """The users, each with how their invitation stands as `invitation`."""
    stands = [When(condition, then=Value(state.value)) for state, condition in _conditions().items()]
    return users.annotate(invitation=Case(*stands, output_field=CharField()))


def in_state(users: QuerySet[User], state: State) -> QuerySet[User]:
    """Those whose invitation stands so; what was never invited is left out by an index."""
    return users.filter(_conditions()[state])


def open_ones(users: QuerySet[User]) -> QuerySet[User]:
    """Those whose invitation is OPEN.

    Asked within a subquery, the index of who was ever invited answers it, in whatever order the users are listed.
    """
    invited = User.objects.filter(invited_at__isnull=False, invitation_ended_at=None)
    return users.filter(pk__in=invited.filter(password__startswith=UNUSABLE_PASSWORD_PREFIX).values("pk"))


def _conditions() -> dict[State, Q]:
    """Each state in SQL; exactly one holds for a user.

    Whoever has a password accepted, by the link or by a forgotten password. A link counts from when its mail was
    made, so a late one may outlive the time that the invitation itself is given. One from before the role gained
    permissions has expired.
    """
    now = timezone.now()
    links = OneTimeToken.objects.living().filter(user=OuterRef("pk"), purpose=Purpose.INVITATION, used_at=None)
    has_gained = Q(role__permissions_gained_at__isnull=False, role__permissions_gained_at__gte=F("invited_at"))
    is_fresh = (Q(invited_at__gt=now - settings.INVITATION_LIFETIME) & ~has_gained) | Q(Exists(links))
    is_invited, is_ended = Q(invited_at__isnull=False), Q(invitation_ended_at__isnull=False)
    has_password = ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return {
        State.NONE: ~is_invited,
        State.ACCEPTED: is_invited & has_password,
        State.REVOKED: is_invited & ~has_password & is_ended,
        State.SENT: is_invited & ~has_password & ~is_ended & is_fresh,
        State.EXPIRED: is_invited & ~has_password & ~is_ended & ~is_fresh,
    }
