"""Checks the permission that an action of a view requires."""

from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView


class HoldsPermission(IsAuthenticated):
    """Requires the permission that the view's `needs` names for its action or method, otherwise only authentication."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        needed: dict[str, str] = getattr(view, "needs", {})
        permission = needed.get(getattr(view, "action", None) or "", needed.get(request.method or ""))
        return permission is None or request.user.has_perm(permission)
