"""The latest audit events: of one user on the user's page, and of all users on the overview."""

from typing import Any

from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery, Value
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.admin import formatting, page_urls
from accounts.admin.base import has_permission, may_see_users
from accounts.admin.sections import ROWS, Section, on_user_page
from accounts.admin.user_agents import device_name
from accounts.models import AuditEvent, User


def annotate_addresses(events: QuerySet[AuditEvent], request: HttpRequest) -> QuerySet[Any]:
    """Adds user_email and actor_email to the events, which store only ids.

    Both are None for deleted users, and for all users if the actor may not see users.
    """
    if not may_see_users(request):
        unknown = Value(None, output_field=CharField())
        return events.annotate(user_email=unknown, actor_email=unknown)
    return events.annotate(user_email=_address_of("user_id"), actor_email=_address_of("actor_id"))


def latest(request: HttpRequest) -> Section:
    events = annotate_addresses(AuditEvent.objects.order_by("-id")[:ROWS], request)
    rows = [
        [
            formatting.relative_time(event.created_at),
            *_event_cells(event),
            formatting.user_link(event.user_email, event.user_id),
            _actor(event),
        ]
        for event in events
    ]
    columns = [_("When"), _("Event"), _("Details"), _("User"), _("By")]
    return Section("latest", _("Latest events"), columns, rows, _("No events yet."), page_urls.events())


def client(event: AuditEvent) -> str:
    """Returns the IP address and the device."""
    agent = device_name(event.user_agent) if event.user_agent else ""
    return " · ".join(filter(None, [event.ip, agent])) or formatting.EMPTY


@on_user_page
def _of_user(request: HttpRequest, user: User) -> Section | None:
    """Lists the latest events about the user or by the user."""
    if not has_permission(request, "audit.view"):
        return None
    events = AuditEvent.objects.filter(Q(user_id=user.pk) | Q(actor_id=user.pk)).order_by("-id")[:ROWS]
    rows = [
        [formatting.relative_time(event.created_at), *_event_cells(event), _actor(event), client(event)]
        for event in annotate_addresses(events, request)
    ]
    columns = [_("When"), _("Event"), _("Details"), _("By"), _("From")]
    return Section("history", _("History"), columns, rows, _("No events yet."), page_urls.events(q=user.pk))


def _event_cells(event: AuditEvent) -> list[object]:
    return [formatting.event_label(event.kind), formatting.event_details(event.data)]


def _actor(event: Any) -> str:
    if event.actor_id and event.actor_id == event.user_id:
        return _("the user")
    return formatting.user_link(event.actor_email, event.actor_id)


def _address_of(column: str) -> Subquery:
    return Subquery(User.objects.filter(pk=OuterRef(column)).values("email")[:1])
