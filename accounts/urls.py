"""The paths outside the API: the public keys, the pages behind mailed links, and those that send a link anew."""

from django.urls import path, re_path

from accounts import pages
from accounts.api import jwks

# A final slash, which people and mail programs add, does no harm. Django's login page looks for a path of the name
# admin_password_reset, and shows the way to it.
urlpatterns = [
    path(".well-known/jwks.json", jwks.jwks),
    path(".well-known/change-password", pages.change_password),
    re_path(r"^reset-password/?$", pages.ResetPassword.as_view(), name="reset-password"),
    re_path(r"^verify-email/?$", pages.VerifyEmail.as_view(), name="verify-email"),
    re_path(r"^change-email/?$", pages.ChangeEmail.as_view(), name="change-email"),
    re_path(r"^accept-invitation/?$", pages.AcceptInvitation.as_view(), name="accept-invitation"),
    re_path(r"^forgot-password/?$", pages.ForgotPassword.as_view(), name="admin_password_reset"),
    re_path(r"^resend-verification/?$", pages.ResendVerification.as_view(), name="resend-verification"),
]
