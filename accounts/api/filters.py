"""Filters that refuse what they do not understand, instead of leaving it out."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field


@extend_schema_field(OpenApiTypes.BOOL)
class FlagFilter(filters.TypedChoiceFilter):
    """`true` or `false`."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce=lambda text: text == "true", **options)


@extend_schema_field(OpenApiTypes.DATETIME)
class TimeFilter(filters.IsoDateTimeFilter):
    """A time as ISO 8601 writes it, in UTC unless it says otherwise."""
