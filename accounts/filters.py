"""What lists of users and of audit events are narrowed down by and ordered, alike for the API and manage.py.

A filter refuses what it does not understand, instead of leaving it out.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import F, Model, Q, QuerySet
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from accounts import invitations, rarity, search
from accounts.audit import KINDS
from accounts.models import AuditEvent, Role, User

M = TypeVar("M", bound=Model)

#: What users can be ordered by, and the column of each. Not the id for the creation: who was imported may have brought
#: theirs along from a system where ids tell no time.
USER_ORDERINGS = {"created_at": "created_at", "email": "email_key", "last_login_at": "last_login_at"}


def ordered(rows: "QuerySet[M]", column: str, *, is_descending: bool) -> "QuerySet[M]":
    """By a column, and then the id, in the order of an index; a value that is missing counts as the smallest."""
    field: Any = rows.model._meta.get_field(column)
    by = F(column)
    first = by.desc(nulls_last=field.null or None) if is_descending else by.asc(nulls_first=field.null or None)
    return rows.order_by(first, *([] if field.unique else ["-id" if is_descending else "id"]))


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(filters.TypedChoiceFilter):
    """`true` or `false`."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **options)


class TimeField(IsoDateTimeField):
    def clean(self, value: Any) -> Any:
        """Refuses what UTC has no year for."""
        moment = super().clean(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError as fault:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from fault


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeFilter(filters.IsoDateTimeFilter):
    """A time as ISO 8601 writes it, in UTC unless it says otherwise."""

    field_class = TimeField


class UserFilter(filters.FilterSet):
    search = filters.CharFilter(
        method="by_part",
        max_length=search.LONGEST,
        help_text="Part of the address or of the name, of less than three characters a beginning.",
    )
    role = filters.CharFilter(method="by_role", help_text="The name of a role.")
    is_active = FlagFilter(method="by_flag", help_text="Whether they may log in.")
    email_verified = FlagFilter(method="by_flag", help_text="Whether they confirmed their address.")
    created_after = TimeFilter(method="by_time", help_text="Created later than this time.")
    created_before = TimeFilter(method="by_time", help_text="Created earlier.")
    last_login_after = TimeFilter(method="by_time", help_text="Last logged in later.")
    last_login_before = TimeFilter(method="by_time", help_text="Last logged in earlier.")

    invitation = filters.ChoiceFilter(
        choices=invitations.State.choices, method="by_invitation", help_text="How their invitation stands."
    )

    class Meta:
        model = User
        fields: ClassVar[list[str]] = []

    def by_part(self, users: QuerySet[User], name: str, part: str) -> QuerySet[User]:
        return search.containing(users, part)

    def by_role(self, users: QuerySet[User], name: str, role: str) -> QuerySet[User]:
        """By the id, of which PostgreSQL's statistics say how many have it; of another table's name they do not."""
        found = Role.objects.filter(name=role).first()
        if found is None:
            return users.none()
        return rarity.with_value(users, Q(role=found), in_order=self._is_by_creation())

    def by_flag(self, users: QuerySet[User], name: str, flag: bool) -> QuerySet[User]:
        """Few are without it, and have an index; most have it."""
        if flag:
            return users.filter(Q(**{name: True}))
        return rarity.with_value(users, Q(**{name: False}), in_order=self._is_by_creation())

    def by_time(self, users: QuerySet[User], name: str, moment: datetime) -> QuerySet[User]:
        column, side = name.rsplit("_", 1)
        lookup = {"after": "gt", "before": "lt"}[side]
        return rarity.within_range(users, Q(**{f"{column}_at__{lookup}": moment}))

    def _is_by_creation(self) -> bool:
        """Whether the list is in the order of these indexes, as the API's is unless it is asked for another one."""
        orders = ("", "created_at", "-created_at")
        return self.request is not None and self.request.GET.get("ordering", "") in orders

    def by_invitation(self, users: QuerySet[User], name: str, state: str) -> QuerySet[User]:
        return invitations.in_state(users, invitations.State(state))


class AuditFilter(filters.FilterSet):
    kind = filters.ChoiceFilter(choices=list(KINDS.items()), help_text="What happened.")
    user = filters.UUIDFilter(field_name="user_id", help_text="The id of whom it happened to.")
    actor = filters.UUIDFilter(field_name="actor_id", help_text="The id of who did it.")
    after = TimeFilter(field_name="created_at", lookup_expr="gt", help_text="Later than this time.")
    before = TimeFilter(field_name="created_at", lookup_expr="lt", help_text="Earlier.")

    class Meta:
        model = AuditEvent
        fields: ClassVar[list[str]] = []
