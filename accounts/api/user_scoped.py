"""Base classes of views that list rows in pages, and of views about the user that the path names."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.api.base import ApiView, AuthenticatedRequest
from accounts.api.output import OutputSerializer
from accounts.api.permissions import HoldsPermission
from accounts.listing.pagination import KeysetPagination
from accounts.models import User

ME = "me"


class PaginatedViewSet(ApiView, GenericViewSet[Any]):
    """Lists rows in pages."""

    request: AuthenticatedRequest
    permission_classes = (HoldsPermission,)
    pagination_class = KeysetPagination
    filter_backends: Sequence[Any] = (DjangoFilterBackend,)

    def paginated_response(self, rows: QuerySet[Any], serializer: type[OutputSerializer[Any]]) -> Response:
        paginator: Any = self.paginator
        paginator.columns = serializer.columns()
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True, context=self.get_serializer_context()).data)


class UserScopedViewSet(PaginatedViewSet):
    """Finds the user whose id, or `me`, is part of the path."""

    lookup_value_regex = "[^/]+"

    def is_own(self, pk: str) -> bool:
        """Returns whether this part of the path names the caller."""
        return pk == ME or parse_uuid(pk) == self.request.user.pk

    def get_self_or_user(self, pk: str, permission: str) -> User:
        """Returns the caller for `me` and for their own id; for other ids, does the same as get_user()."""
        if self.is_own(pk):
            return self.request.user
        return self.get_user(pk, permission)

    def get_user(self, pk: str, permission: str) -> User:
        """Returns the user if the caller has the permission, which is also required for their own account.

        Raises PermissionDenied if the caller lacks the permission, and NotFound for an unknown id. For a caller who may
        not see users, every id of another user is unknown, so the response does not reveal which ids exist.
        """
        actor = self.request.user
        user_id = actor.pk if pk == ME else parse_uuid(pk)
        may_see = user_id == actor.pk or actor.has_perm("users.view") or actor.has_perm(permission)
        user = User.objects.select_related("role").filter(pk=user_id).first() if may_see and user_id else None
        if user is None:
            raise NotFound
        if not actor.has_perm(permission):
            raise PermissionDenied
        return user


def parse_uuid(text: str) -> UUID | None:
    """Returns the UUID that a part of a path contains, in any spelling; None if it is not a UUID."""
    try:
        return UUID(text)
    except ValueError:
        return None
