"""Every path below /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from accounts.api import addresses, login, passwords, registration
from accounts.api.audit import AuditViewSet, UserAuditViewSet
from accounts.api.invitations import InvitationViewSet
from accounts.api.me import ExportView, MeView
from accounts.api.roles import RoleViewSet
from accounts.api.sessions import SessionViewSet
from accounts.api.suspensions import SuspensionViewSet
from accounts.api.users import UserViewSet

router = SimpleRouter()
router.register("users", UserViewSet)
router.register("roles", RoleViewSet)
router.register("audit", AuditViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/register/", registration.RegisterView.as_view()),
    path("auth/login/", login.LoginView.as_view()),
    path("auth/token/refresh/", login.RefreshView.as_view()),
    path("auth/token/verify/", login.VerifyView.as_view()),
    path("auth/logout/", login.LogoutView.as_view()),
    path("auth/logout/all/", login.LogoutAllView.as_view()),
    path("auth/password/reset/", passwords.ResetView.as_view()),
    path("auth/password/reset/confirm/", passwords.ConfirmResetView.as_view()),
    path("auth/password/change/", passwords.ChangePasswordView.as_view()),
    path("auth/email/verify/", registration.VerifyEmailView.as_view()),
    path("auth/email/verify/resend/", registration.ResendVerificationView.as_view()),
    path("auth/email/change/", addresses.ChangeAddressView.as_view()),
    path("auth/email/change/confirm/", addresses.ConfirmAddressView.as_view()),
    path("auth/invitation/accept/", registration.AcceptInvitationView.as_view()),
    path("users/me/", MeView.as_view()),
    path("users/me/export/", ExportView.as_view()),
    path("users/<str:pk>/suspend/", SuspensionViewSet.as_view({"get": "retrieve", "post": "begin"})),
    path("users/<str:pk>/activate/", SuspensionViewSet.as_view({"post": "end"})),
    path(
        "users/<str:pk>/invite/",
        InvitationViewSet.as_view({"get": "retrieve", "post": "send", "delete": "revoke"}),
    ),
    path("users/<str:pk>/sessions/", SessionViewSet.as_view({"get": "list", "delete": "destroy_all"})),
    path("users/<str:pk>/sessions/<str:session_id>/", SessionViewSet.as_view({"delete": "destroy"})),
    path("users/<str:pk>/audit/", UserAuditViewSet.as_view({"get": "list"})),
    *router.urls,
]
