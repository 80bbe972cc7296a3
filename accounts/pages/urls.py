"""The paths of the pages. A final slash, which users and email programs add, is accepted."""

from django.urls import path, re_path

from accounts.pages import enrolment, link_requests, links

# Django's login page links to the URL named admin_password_reset.
urlpatterns = [
    path(".well-known/change-password", link_requests.redirect_to_password_change),
    re_path(r"^reset-password/?$", links.ResetPassword.as_view(), name="reset-password"),
    re_path(r"^verify-email/?$", links.VerifyEmail.as_view(), name="verify-email"),
    re_path(r"^change-email/?$", links.ChangeEmail.as_view(), name="change-email"),
    re_path(r"^accept-invitation/?$", links.AcceptInvitation.as_view(), name="accept-invitation"),
    re_path(r"^set-up-second-factor/?$", enrolment.SetUpSecondFactor.as_view(), name="set-up-second-factor"),
    re_path(r"^forgot-password/?$", link_requests.ForgotPassword.as_view(), name="admin_password_reset"),
    re_path(r"^resend-verification/?$", link_requests.ResendVerification.as_view(), name="resend-verification"),
]
