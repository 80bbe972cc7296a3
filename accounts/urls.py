"""The paths outside the API: the public keys, and the pages behind mailed links."""

from django.urls import path, re_path

from accounts import pages
from accounts.api import jwks

# A final slash is what some people add and some mail programs too: it does no harm.
urlpatterns = [
    path(".well-known/jwks.json", jwks.jwks),
    re_path(r"^reset-password/?$", pages.ResetPassword.as_view(), name="reset-password"),
    re_path(r"^verify-email/?$", pages.VerifyEmail.as_view(), name="verify-email"),
    re_path(r"^change-email/?$", pages.ChangeEmail.as_view(), name="change-email"),
    re_path(r"^accept-invitation/?$", pages.AcceptInvitation.as_view(), name="accept-invitation"),
]
