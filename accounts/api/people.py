"""Views about people: whom a path means, and who may know of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from accounts.api.base import ApiView, SignedIn
from accounts.api.pagination import KeysetPagination
from accounts.api.permissions import HoldsPermission
from accounts.models import User

MYSELF = "me"


class Listing(ApiView, GenericViewSet[Any]):
    """Lists in pages, for those with the permission."""

    request: SignedIn
    permission_classes = (HoldsPermission,)
    pagination_class = KeysetPagination
    filter_backends: Sequence[Any] = (DjangoFilterBackend,)

    def page_of(self, rows: QuerySet[Any], shape: type[BaseSerializer[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shape(page, many=True, context=self.get_serializer_context()).data)


class OfPeople(Listing):
    lookup_value_regex = "[^/]+"

    def person(self, pk: str, permission: str) -> User:
        """The user of an id, or of `me`, for themselves and for those with the permission."""
        if pk == MYSELF or as_uuid(pk) == self.request.user.pk:
            return self.request.user
        return self.other(pk, permission)

    def other(self, pk: str, permission: str) -> User:
        """The user of an id for those with the permission alone.

        Who may not even see users cannot tell an id that is another's from one that is nobody's.
        """
        actor = self.request.user
        user_id = actor.pk if pk == MYSELF else as_uuid(pk)
        may_know = user_id == actor.pk or actor.has_perm("users.view") or actor.has_perm(permission)
        user = User.objects.select_related("role").filter(pk=user_id).first() if may_know and user_id else None
        if user is None:
            raise NotFound
        if not actor.has_perm(permission):
            raise PermissionDenied
        return user


def a_mail_is_on_its_way() -> Response:
    return Response({"detail": _("A mail is on its way.")}, 202)


def as_uuid(text: str) -> UUID | None:
    """The id that a part of a path means, in whatever case it is written; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
