"""Pages that cost the same wherever they are: a cursor says after which row a page begins (keyset pagination)."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.filters import ordered

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
#: What a column lacks that may lack anything is a time; IS NOT NULL would read all that lack it on the way.
EARLIEST = datetime.min.replace(tzinfo=UTC)


class Cursor(NamedTuple):
    """The row beside which a page lies: its sort value, its id, and whether the page comes before it."""

    ordering: str
    value: Any
    pk: str
    is_before: bool

    def encode(self, model: type[Model]) -> str:
        return _signer(model).sign_object(self)

    @classmethod
    def decode(cls, text: str, model: type[Model]) -> "Cursor":
        """Raises BadSignature: whoever could write a cursor could hand the database any value to compare with."""
        return cls(*_signer(model).unsign_object(text))


class KeysetPagination(BasePagination):
    """`cursor`, `page_size`, `ordering` and `count` of the query; the view names its `orderings`, the first by default.

    An ordering is a name and the column that it sorts by. Ids grow with time, so that they stand for the creation
    unless a view says otherwise.
    """

    def paginate_queryset(  # type: ignore[override]  # a list of rows has no keys to seek by
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        self.request = request
        self.total = queryset.count() if self._is_counting() else None
        orderings: dict[str, str] = getattr(view, "orderings", {"created_at": "id"})
        self.ordering = self._ordering(orderings)
        self.column = orderings[self.ordering.lstrip("-")]
        self.cursor = self._cursor(queryset.model)
        size = self._page_size()
        rows = self._rows(queryset, size + 1)
        self.has_more, self.page = len(rows) > size, rows[:size]
        if self.cursor and self.cursor.is_before:
            self.page.reverse()
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        page = {"next": self._next(), "previous": self._previous(), "results": data}
        return Response(page if self.total is None else {"count": self.total, **page})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "example": None}
        count = {"type": "integer", "description": "Only with `count=true`.", "example": 1}
        properties = {"next": link, "previous": link, "count": count, "results": schema}
        return {"type": "object", "required": ["next", "previous", "results"], "properties": properties}

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        orderings: dict[str, str] = getattr(view, "orderings", {"created_at": "id"})
        names = [sign + name for name in orderings for sign in ("", "-")]
        return [
            _parameter("cursor", {"type": "string"}, "Where the page begins; taken from `next` or `previous`."),
            _parameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": 999_999_999},
                "50 unless told; more than 200 count as 200.",
            ),
            _parameter("ordering", {"type": "string", "enum": names}, "`-` stands for the newest or last first."),
            _parameter("count", {"type": "boolean"}, "Whether to count all results, which takes longer."),
        ]

    def _ordering(self, orderings: dict[str, str]) -> str:
        ordering = self.request.query_params.get("ordering") or f"-{next(iter(orderings))}"
        if ordering.removeprefix("-") not in orderings:
            raise ValidationError({"ordering": [_("The results cannot be ordered by this.")]})
        return ordering

    def _is_counting(self) -> bool:
        text = self.request.query_params.get("count") or "false"
        if text not in ("true", "false"):
            raise ValidationError({"count": [_("Write true or false.")]})
        return text == "true"

    def _page_size(self) -> int:
        text = self.request.query_params.get("page_size") or str(PAGE_SIZE)
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
            raise ValidationError({"page_size": [_("Enter a number of at least 1.")]})
        return min(int(text), MAX_PAGE_SIZE)

    def _cursor(self, model: type[Model]) -> Cursor | None:
        text = self.request.query_params.get("cursor")
        if not text:
            return None
        try:
            cursor = Cursor.decode(text, model)
        except BadSignature as fault:
            raise _invalid_cursor() from fault
        if cursor.ordering != self.ordering:
            raise _invalid_cursor()
        return cursor

    def _rows(self, queryset: QuerySet[Any], number: int) -> list[Any]:
        """So many rows after the cursor, or before it in the reverse order."""
        is_descending = self.ordering.startswith("-")
        stretches = [queryset]
        if self.cursor:
            is_descending ^= self.cursor.is_before
            stretches = self._beyond(queryset, self.cursor, is_descending)
        rows: list[Any] = []
        for stretch in stretches:
            if len(rows) < number:
                rows += ordered(stretch, self.column, is_descending=is_descending)[: number - len(rows)]
        return rows

    def _beyond(self, queryset: QuerySet[Any], cursor: Cursor, is_descending: bool) -> list[QuerySet[Any]]:
        """The rows after the cursor's, as stretches of the same index: an OR would have them all sorted or read."""
        field: Any = queryset.model._meta.get_field(self.column)
        side = "lt" if is_descending else "gt"
        value, beyond_id = field.to_python(cursor.value), {f"id__{side}": cursor.pk}
        equal = [] if field.unique else [_seeking(queryset, **{self.column: value}, **beyond_id)]
        if value is None:
            return equal if is_descending else [*equal, _seeking(queryset, **{f"{self.column}__gte": EARLIEST})]
        missing = [queryset.filter(**{self.column: None})] if is_descending and field.null else []
        return [*equal, _seeking(queryset, **{f"{self.column}__{side}": value}), *missing]

    def _next(self) -> str | None:
        came_backwards = self.cursor is not None and self.cursor.is_before
        return self._link(self.page[-1], is_before=False) if self.page and (came_backwards or self.has_more) else None

    def _previous(self) -> str | None:
        came_backwards = self.cursor is not None and self.cursor.is_before
        has_previous = self.has_more if came_backwards else self.cursor is not None
        return self._link(self.page[0], is_before=True) if self.page and has_previous else None

    def _link(self, row: Model, *, is_before: bool) -> str:
        """Built on PUBLIC_URL: the Host header is the client's to write."""
        value = getattr(row, self.column)
        cursor = Cursor(self.ordering, value if value is None else str(value), str(row.pk), is_before)
        query = {**self.request.query_params.dict(), "cursor": cursor.encode(type(row))}
        return f"{settings.PUBLIC_URL}{self.request.path}?{urlencode(query)}"


def _seeking(queryset: QuerySet[Any], **condition: Any) -> QuerySet[Any]:
    """Of two bounds of a column SQLite seeks the one that is written first, which a filter may have been."""
    sought = queryset.filter(**condition)
    sought.query.where.children.reverse()
    return sought


def _signer(model: type[Model]) -> Signer:
    """Of one list alone: the columns of another hold other things."""
    return Signer(salt=f"accounts.api.pagination.{model._meta.label_lower}")


def _invalid_cursor() -> ValidationError:
    return ValidationError({"cursor": [_("This cursor is not valid.")]})


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
