"""What happened, as people read it: to one user on their page, and to anybody on the first page."""

from typing import Any

from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery, Value
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.admin import links, words
from accounts.admin.base import holds, sees_people
from accounts.admin.devices import device
from accounts.admin.sections import ROWS, Section, on_user_page
from accounts.models import AuditEvent, User


def with_addresses(events: QuerySet[AuditEvent], request: HttpRequest) -> QuerySet[Any]:
    """The events with user_email and actor_email of those who still exist, which events themselves do not name.

    Both are None for a reader who may not see users.
    """
    if not sees_people(request):
        unknown = Value(None, output_field=CharField())
        return events.annotate(user_email=unknown, actor_email=unknown)
    return events.annotate(user_email=_address_of("user_id"), actor_email=_address_of("actor_id"))


def latest(request: HttpRequest) -> Section:
    events = with_addresses(AuditEvent.objects.order_by("-id")[:ROWS], request)
    rows = [
        [words.moment(one.created_at), *_what(one), words.person(one.user_email, one.user_id), _who(one)]
        for one in events
    ]
    columns = [_("When"), _("What"), _("Details"), _("User"), _("By")]
    return Section("latest", _("What happened last"), columns, rows, _("Nothing happened yet."), links.events())


def place(event: AuditEvent) -> str:
    """From where and on which device."""
    return " · ".join(filter(None, [event.ip, device(event.user_agent) if event.user_agent else ""])) or words.NOTHING


@on_user_page
def _of_user(request: HttpRequest, user: User) -> Section | None:
    """What was done to the user and what they did themselves."""
    if not holds(request, "audit.view"):
        return None
    events = AuditEvent.objects.filter(Q(user_id=user.pk) | Q(actor_id=user.pk)).order_by("-id")[:ROWS]
    rows = [
        [words.moment(one.created_at), *_what(one), _who(one), place(one)] for one in with_addresses(events, request)
    ]
    columns = [_("When"), _("What"), _("Details"), _("By"), _("From")]
    return Section("history", _("History"), columns, rows, _("Nothing happened yet."), links.events(q=user.pk))


def _what(event: AuditEvent) -> list[object]:
    return [words.event(event.kind), words.details(event.data)]


def _who(event: Any) -> str:
    return _("themselves") if event.actor_id == event.user_id else words.person(event.actor_email, event.actor_id)


def _address_of(column: str) -> Subquery:
    return Subquery(User.objects.filter(pk=OuterRef(column)).values("email")[:1])
