"""The second factors of a user, whatever their type: what the API, the panel and the commands show of them."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts.errors import NotFound
from accounts.models import Passkey, TotpSecret, User

NAMES = {"totp": _("Authenticator app"), "passkey": _("Passkey")}  #: of each type


class Factor(NamedTuple):
    """`type` is `totp` or `passkey`. `is_synced` says whether a passkey is in more than one device."""

    id: UUID
    type: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    is_synced: bool


def of_totp(row: TotpSecret) -> Factor:
    return Factor(row.pk, "totp", row.name, row.created_at, row.last_used_at, is_synced=False)


def of_passkey(row: Passkey) -> Factor:
    return Factor(row.pk, "passkey", row.name, row.created_at, row.last_used_at, row.is_synced)


def rows_of(factor: Factor) -> QuerySet[Any]:
    """Returns a queryset of the factor's row."""
    model = TotpSecret if factor.type == "totp" else Passkey
    return model._default_manager.filter(pk=factor.id)


def default_name(user: User, kind: str) -> str:
    """Returns the name of a factor that its owner does not name, in the language that the owner has chosen or, if they
    have chosen none, in that of the request. The name is stored, and a later request may have another language."""
    with translation.override(user.locale or translation.get_language()):
        return str(NAMES[kind])


def of_user(user: User) -> list[Factor]:
    """Returns the factors of the user, the oldest first."""
    confirmed = TotpSecret.objects.filter(user=user, confirmed_at__isnull=False)
    found = [*map(of_totp, confirmed), *map(of_passkey, Passkey.objects.filter(user=user))]
    return sorted(found, key=lambda factor: factor.created_at)


def find(user: User, factor: UUID) -> Factor:
    """Returns the factor of the user with this id. Raises NotFound."""
    found = next((one for one in of_user(user) if one.id == factor), None)
    if found is None:
        raise NotFound
    return found
