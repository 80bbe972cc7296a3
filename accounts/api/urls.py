"""All paths below /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from accounts.api import (
    email_change,
    email_verification,
    enrolment,
    invitations,
    login,
    passkey_login,
    passkey_registration,
    passwords,
    registration,
    second_factor,
)
from accounts.api.audit import AuditViewSet, UserAuditViewSet
from accounts.api.factor_changes import FactorOfUserViewSet, FactorViewSet, OwnFactorView, RecoveryCodesView
from accounts.api.me import MeView
from accounts.api.personal_data import ExportView
from accounts.api.roles import RoleViewSet
from accounts.api.sessions import SessionViewSet
from accounts.api.suspension import SuspensionViewSet
from accounts.api.users import UserViewSet

router = SimpleRouter()
router.register("users", UserViewSet)
router.register("roles", RoleViewSet)
router.register("audit", AuditViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    path("auth/register/", registration.RegisterView.as_view()),
    path("auth/login/", login.LoginView.as_view()),
    path("auth/login/second-factor/", second_factor.SecondFactorView.as_view()),
    path("auth/passkey/options/", passkey_login.LoginOptionsView.as_view()),
    path("auth/passkey/", passkey_login.PasskeyLoginView.as_view()),
    path("auth/step-up/", second_factor.StepUpView.as_view()),
    path("auth/step-up/options/", second_factor.StepUpOptionsView.as_view()),
    path("auth/totp/", enrolment.TotpView.as_view()),
    path("auth/totp/confirm/", enrolment.ConfirmTotpView.as_view()),
    path("auth/recovery-codes/", RecoveryCodesView.as_view()),
    path("auth/passkeys/", passkey_registration.PasskeysView.as_view()),
    path("auth/passkeys/options/", passkey_registration.PasskeyOptionsView.as_view()),
    path("auth/token/refresh/", login.RefreshView.as_view()),
    path("auth/token/verify/", login.VerifyView.as_view()),
    path("auth/logout/", login.LogoutView.as_view()),
    path("auth/logout/all/", login.LogoutAllView.as_view()),
    path("auth/password/reset/", passwords.ResetView.as_view()),
    path("auth/password/reset/confirm/", passwords.ConfirmResetView.as_view()),
    path("auth/password/change/", passwords.ChangePasswordView.as_view()),
    path("auth/email/verify/", email_verification.VerifyEmailView.as_view()),
    path("auth/email/verify/resend/", email_verification.ResendVerificationView.as_view()),
    path("auth/email/change/", email_change.ChangeAddressView.as_view()),
    path("auth/email/change/confirm/", email_change.ConfirmAddressView.as_view()),
    path("auth/invitation/accept/", invitations.AcceptInvitationView.as_view()),
    path("users/me/", MeView.as_view()),
    path("users/me/export/", ExportView.as_view()),
    path("users/me/factors/<str:factor_id>/", OwnFactorView.as_view()),
    path("users/<str:pk>/factors/", FactorViewSet.as_view({"get": "retrieve", "delete": "reset"})),
    path("users/<str:pk>/factors/<str:factor_id>/", FactorOfUserViewSet.as_view({"get": "retrieve"})),
    path("users/<str:pk>/suspend/", SuspensionViewSet.as_view({"get": "retrieve", "post": "suspend"})),
    path("users/<str:pk>/activate/", SuspensionViewSet.as_view({"post": "activate"})),
    path(
        "users/<str:pk>/invite/",
        invitations.InvitationViewSet.as_view({"get": "retrieve", "post": "send", "delete": "revoke"}),
    ),
    path("users/<str:pk>/sessions/", SessionViewSet.as_view({"get": "list", "delete": "destroy_all"})),
    path("users/<str:pk>/sessions/<str:session_id>/", SessionViewSet.as_view({"delete": "destroy"})),
    path("users/<str:pk>/audit/", UserAuditViewSet.as_view({"get": "list"})),
    *router.urls,
]
