"""The page that asks for confirmation before an action on several rows: it lists the result for each row."""

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

LIMIT = 500  # rows that one request can change in a few seconds; manage.py and the API have no such limit


@dataclass(frozen=True)
class Row:
    """A selected row. `obstacle` says why the action will not change it; "" if it will."""

    pk: Any
    cells: Sequence[object]
    obstacle: str = ""


@dataclass(frozen=True)
class Confirmation:
    """The contents of the page. `action` is sent back with the form; `announcement` says how many rows will change."""

    action: str
    title: object
    announcement: str
    columns: Sequence[str]
    rows: Sequence[Row]
    form: forms.Form | None = None
    is_final: bool = False

    @property
    def is_possible(self) -> bool:
        return count_possible(self.rows) > 0

    @property
    def lines(self) -> list[tuple[Row, list[tuple[str, object]]]]:
        """Returns each row with its cells as (column, cell): narrow screens show the column beside the cell."""
        return [(row, list(zip(self.columns, row.cells, strict=True))) for row in self.rows]


def count_possible(rows: Sequence[Row]) -> int:
    return sum(not row.obstacle for row in rows)


def is_confirmed(request: HttpRequest) -> bool:
    return "confirmed" in request.POST


def load_selection(panel: PanelModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any] | None:
    """Loads the selected rows, newest first. Shows a message and returns None if they are too many for one request."""
    found = list(queryset.order_by("-pk")[: LIMIT + 1])
    if len(found) <= LIMIT:
        return found
    panel.message_user(request, _("You can select at most %d. Select fewer, or use manage.py.") % LIMIT, messages.ERROR)
    return None


def response(panel: PanelModelAdmin, request: HttpRequest, confirmation: Confirmation) -> HttpResponse:
    context = {
        **panel.admin_site.each_context(request),
        "title": confirmation.title,
        "opts": panel.opts,
        "confirmation": confirmation,
    }
    return TemplateResponse(request, "admin/accounts/confirmation.html", context)
