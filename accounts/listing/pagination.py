"""Keyset pagination: a cursor names the row after which a page begins, so each page costs the same."""

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

from accounts.listing.filters import ordered

PAGE_SIZE = 50
MAX_PAGE_SIZE = 200
#: Only columns of times have missing values. `>= EARLIEST` skips these in the index; IS NOT NULL would read them all.
EARLIEST = datetime.min.replace(tzinfo=UTC)


class Cursor(NamedTuple):
    """The row next to a page: its sort value, its id, and whether the page comes before it."""

    ordering: str
    value: Any
    pk: str
    is_before: bool

    def encode(self, model: type[Model]) -> str:
        return _signer(model).sign_object(self)

    @classmethod
    def decode(cls, text: str, model: type[Model]) -> "Cursor":
        """Raises BadSignature. Without the signature, a client could make the database compare with any value."""
        return cls(*_signer(model).unsign_object(text))


class KeysetPagination(BasePagination):
    """Reads `cursor`, `page_size`, `ordering` and `count` from the query. The view names its `orderings`; the first one
    is the default.

    An ordering is a name and the column that it sorts by. Without `orderings`, the id stands for the creation, because
    ids grow with time.
    """

    #: What each row consists of, as a named tuple. Without columns, the rows are objects of the model.
    columns: tuple[str, ...] = ()

    def paginate_queryset(  # type: ignore[override]  # only a queryset can seek by a key
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        self.request = request
        self.total = queryset.count() if self._is_counting() else None
        orderings: dict[str, str] = getattr(view, "orderings", {"created_at": "id"})
        self.ordering = self._ordering(orderings)
        self.column = orderings[self.ordering.lstrip("-")]
        self.model = queryset.model
        self.cursor = self._cursor()
        size = self._page_size()
        rows = self._rows(queryset, size + 1)
        self.has_more, self.page = len(rows) > size, rows[:size]
        if self.cursor and self.cursor.is_before:
            self.page.reverse()
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        came_backwards = self.cursor is not None and self.cursor.is_before
        has_next = came_backwards or self.has_more
        has_previous = self.has_more if came_backwards else self.cursor is not None
        page = {
            "next": self._link(self.page[-1], is_before=False) if self.page and has_next else None,
            "previous": self._link(self.page[0], is_before=True) if self.page and has_previous else None,
            "results": data,
        }
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
            _parameter("cursor", {"type": "string"}, "Where the page begins; take it from `next` or `previous`."),
            _parameter(
                "page_size",
                {"type": "integer", "minimum": 1, "maximum": 999_999_999},
                "The default is 50. More than 200 count as 200.",
            ),
            _parameter(
                "ordering", {"type": "string", "enum": names}, "`-` reverses the order: the newest or last first."
            ),
            _parameter("count", {"type": "boolean"}, "Whether to count all results. This takes longer."),
        ]

    def _ordering(self, orderings: dict[str, str]) -> str:
        ordering = self.request.query_params.get("ordering") or f"-{next(iter(orderings))}"
        if ordering.removeprefix("-") not in orderings:
            raise ValidationError({"ordering": [_("The results can't be ordered by this field.")]})
        return ordering

    def _is_counting(self) -> bool:
        text = self.request.query_params.get("count") or "false"
        if text not in ("true", "false"):
            raise ValidationError({"count": [_("Enter true or false.")]})
        return text == "true"

    def _page_size(self) -> int:
        text = self.request.query_params.get("page_size") or str(PAGE_SIZE)
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
            raise ValidationError({"page_size": [_("Enter a number of at least 1.")]})
        return min(int(text), MAX_PAGE_SIZE)

    def _cursor(self) -> Cursor | None:
        text = self.request.query_params.get("cursor")
        if not text:
            return None
        try:
            cursor = Cursor.decode(text, self.model)
        except BadSignature as error:
            raise _invalid_cursor() from error
        if cursor.ordering != self.ordering:
            raise _invalid_cursor()
        return cursor

    def _rows(self, queryset: QuerySet[Any], number: int) -> list[Any]:
        """Returns this number of rows after the cursor, or before it in reverse order."""
        is_descending = self.ordering.startswith("-")
        ranges = [queryset]
        if self.cursor:
            is_descending ^= self.cursor.is_before
            ranges = self._beyond(queryset, self.cursor, is_descending)
        rows: list[Any] = []
        for rows_in_range in ranges:
            if len(rows) < number:
                found = ordered(rows_in_range, self.column, is_descending=is_descending)
                rows += self._selected(found)[: number - len(rows)]
        return rows

    def _selected(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Selects the columns that the view shows, and those that a link needs."""
        if not self.columns:
            return queryset
        return queryset.values_list(*dict.fromkeys((*self.columns, self.column, "id")), named=True)

    def _beyond(self, queryset: QuerySet[Any], cursor: Cursor, is_descending: bool) -> list[QuerySet[Any]]:
        """Returns the rows after the cursor as ranges of one index. An OR would make the database sort or read all."""
        field: Any = queryset.model._meta.get_field(self.column)
        side = "lt" if is_descending else "gt"
        value, beyond_id = field.to_python(cursor.value), {f"id__{side}": cursor.pk}
        equal = [] if field.unique else [_seeking(queryset, **{self.column: value}, **beyond_id)]
        if value is None:
            return equal if is_descending else [*equal, _seeking(queryset, **{f"{self.column}__gte": EARLIEST})]
        missing = [queryset.filter(**{self.column: None})] if is_descending and field.null else []
        return [*equal, _seeking(queryset, **{f"{self.column}__{side}": value}), *missing]

    def _link(self, row: Any, *, is_before: bool) -> str:
        """Returns a link on PUBLIC_URL, because the client chooses the Host header."""
        value = getattr(row, self.column)
        cursor = Cursor(self.ordering, value if value is None else str(value), str(row.id), is_before)
        query = {**self.request.query_params.dict(), "cursor": cursor.encode(self.model)}
        return f"{settings.PUBLIC_URL}{self.request.path}?{urlencode(query)}"


def _seeking(queryset: QuerySet[Any], **condition: Any) -> QuerySet[Any]:
    """Filters with the condition written first. Of two bounds of a column, SQLite seeks only the first one written."""
    sought = queryset.filter(**condition)
    sought.query.where.children.reverse()
    return sought


def _signer(model: type[Model]) -> Signer:
    """Returns a signer for one list. A cursor of another list has values of other columns."""
    return Signer(salt=f"accounts.api.pagination.{model._meta.label_lower}")


def _invalid_cursor() -> ValidationError:
    return ValidationError({"cursor": [_("This cursor is not valid.")]})


def _parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
