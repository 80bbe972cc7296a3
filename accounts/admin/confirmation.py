"""The page that asks before something is done to several at once: it lists what will happen to each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from accounts.admin.base import PanelModelAdmin

LIMIT = 500  # what one request can do in a few seconds; manage.py and the API have no such bound


@dataclass(frozen=True)
class Row:
    """One of the chosen; an obstacle says why nothing will happen to it."""

    pk: Any
    cells: Sequence[object]
    obstacle: str = ""


@dataclass(frozen=True)
class Question:
    """`action` is the name by which the answer comes back; `announcement` says to how many it will be done."""

    action: str
    title: object
    button: object
    announcement: str
    columns: Sequence[str]
    rows: Sequence[Row]
    form: forms.Form | None = None
    is_final: bool = False

    @property
    def is_possible(self) -> bool:
        return possible(self.rows) > 0

    @property
    def lines(self) -> list[tuple[Row, list[tuple[str, object]]]]:
        """Each row with the name of its column beside each cell, as a narrow screen shows them."""
        return [(row, list(zip(self.columns, row.cells, strict=True))) for row in self.rows]


def possible(rows: Sequence[Row]) -> int:
    return sum(not row.obstacle for row in rows)


def is_answered(request: HttpRequest) -> bool:
    return "confirmed" in request.POST


def chosen(panel: PanelModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any] | None:
    """The newest first; None, and a message, if they are too many for one request."""
    found = list(queryset.order_by("-pk")[: LIMIT + 1])
    if len(found) <= LIMIT:
        return found
    panel.message_user(request, _("At most %d at once: choose fewer, or use manage.py.") % LIMIT, messages.ERROR)
    return None


def page(panel: PanelModelAdmin, request: HttpRequest, question: Question) -> HttpResponse:
    context = {
        **panel.admin_site.each_context(request),
        "title": question.title,
        "opts": panel.opts,
        "question": question,
    }
    return TemplateResponse(request, "admin/accounts/confirmation.html", context)
