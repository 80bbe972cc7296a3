"""Invites users to choose a password, revokes invitations and accepts them."""

from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.enums import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit, authorization, credentials, known_networks, one_time_tokens
from accounts.errors import Conflict
from accounts.limits import rate_limits
from accounts.models import OneTimeToken, User
from accounts.one_time_tokens import Purpose
from accounts.signals import invitation_revoked, user_invited


class State(TextChoices):
    NONE = "none", _("none")
    SENT = "sent", _("sent")
    ACCEPTED = "accepted", _("accepted")
    EXPIRED = "expired", _("expired")
    REVOKED = "revoked", _("revoked")


OPEN_STATES = (State.SENT, State.EXPIRED)


def invite(user: User, *, actor: User | None) -> None:
    """Sends an invitation to an active user who has no password. The links of earlier invitations stop working.

    Raises PermissionDenied, NotFound, Conflict.
    """
    with authorization.locked_for_change(user, actor) as current:
        if current.has_usable_password() or not current.is_active:
            raise Conflict(_("Only an active user without a password can be invited."))
        send(current, actor=actor)


def send(user: User, *, actor: User | None) -> None:
    """Marks the user as invited and sends the email. Call it in the transaction that checked that this is allowed."""
    user.invited_at, user.invitation_ended_at = timezone.now(), None
    user.save(update_fields=["invited_at", "invitation_ended_at"])
    audit.record("user:invited", user, actor=actor)
    user_invited.send(sender=User, user=user)


def revoke(user: User, *, actor: User | None) -> None:
    """Revokes an invitation that was not accepted. Its links stop working, and the user can't request a reset link.

    Raises PermissionDenied, NotFound, Conflict.
    """
    with authorization.locked_for_change(user, actor) as current:
        if state_of(current) not in OPEN_STATES:
            raise Conflict(_("There is no open invitation."))
        one_time_tokens.end_all_and_invitation(current)
        audit.record("user:invitation_revoked", current, actor=actor)
        invitation_revoked.send(sender=User, user=current)


def accept(secret: str, password: str, *, full_name: str | None = None) -> User:
    """Sets the first password of the user that the token was emailed to, and confirms the address.

    Raises InvalidToken, InvalidInput, Throttled, Overloaded.
    """
    with rate_limits.token_attempt():
        token = one_time_tokens.find(secret, Purpose.INVITATION)
        user = token.user
        user.full_name = full_name or user.full_name
        encoded = credentials.hash_new_password(password, user, field="password")
        with transaction.atomic():
            one_time_tokens.consume(token)
            user.email_verified = True
            user.save(update_fields=["full_name", "email_verified"] if full_name else ["email_verified"])
            audit.record("user:invitation_accepted", user, actor=user)
            known_networks.remember(user)
            credentials.replace_password(user, encoded, actor=user)
    return user


def state_of(user: User) -> State:
    """Returns the state of the user's invitation."""
    stored: Any = annotate_state(User.objects.filter(pk=user.pk)).first()
    return State(stored.invitation_state) if stored else State.NONE


def annotate_state(users: QuerySet[User]) -> QuerySet[User]:
    """Adds the state of each user's invitation as `invitation_state`."""
    cases = [When(condition, then=Value(state.value)) for state, condition in _conditions().items()]
    return users.annotate(invitation_state=Case(*cases, output_field=CharField()))


def filter_by_state(users: QuerySet[User], state: State) -> QuerySet[User]:
    """Returns the users whose invitation has this state."""
    return users.filter(_conditions()[state])


def filter_open(users: QuerySet[User]) -> QuerySet[User]:
    """Returns the users whose invitation is in one of OPEN_STATES.

    Its subquery reads the index of invited users, in any order of the list.
    """
    invited = User.objects.filter(invited_at__isnull=False, invitation_ended_at=None)
    return users.filter(pk__in=invited.filter(password__startswith=UNUSABLE_PASSWORD_PREFIX).values("pk"))


def _conditions() -> dict[State, Q]:
    """Returns the SQL condition of each state. Exactly one is true for each user.

    An invited user with a password has accepted, with the link or with a reset link. The lifetime of a link starts when
    its email is composed, so the link of a delayed email may outlive the invitation itself. An invitation expires when
    the user's role gains permissions.
    """
    now = timezone.now()
    links = OneTimeToken.objects.not_ended().filter(user=OuterRef("pk"), purpose=Purpose.INVITATION, used_at=None)
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
