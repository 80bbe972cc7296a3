"""The second step of a login to the panel, after the right password.

The cookie holds the `mfa_token` alone: no user and no session, until the second factor is proven. The row of the
pending login decides whether the token is good.
"""

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import second_factor
from accounts.admin import login, page_urls, proof_forms
from accounts.errors import AccountError, InvalidSecondFactor, InvalidToken, Overloaded, Throttled
from accounts.mfa import passkey_options, pending_logins
from accounts.models import PendingLogin, Session

TOKEN_KEY = "accounts.mfa_token"  # noqa: S105  in Django's session, a signed cookie
TEMPLATE = "admin/accounts/second_step.html"


def after_password(request: HttpRequest, error: AccountError) -> HttpResponseRedirect | None:
    """Redirects a user whose password was right to the second step, or to the page that adds a factor.

    Returns None if the error has no `mfa_token` or needs the emailed link. Signs out a user who is still signed in with
    this browser.
    """
    token = error.members.get("mfa_token")
    if not token or error.members.get("needs_mail"):
        return None
    following = page_urls.following(request)
    logout(request)
    request.session[TOKEN_KEY] = token
    must_enrol = "needs_mail" in error.members
    return redirect(page_urls.own_factors(following) if must_enrol else page_urls.second_step(following))


@never_cache
@sensitive_post_parameters()
def view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Asks for a code or a passkey, and signs the user in."""
    token = read_token(request)
    try:
        user = pending_logins.find(token, PendingLogin.Purpose.LOGIN).user
    except InvalidToken:
        return start_again(request)
    form = proof_forms.factor_form(request, user)
    try:
        if form.is_valid():
            session = second_factor.finish_login(token, form.submitted, lifetime=login.LIFETIME).session
            return enter_and_redirect(request, session)
    except (InvalidSecondFactor, Throttled, Overloaded) as error:
        form.reject(error)
    except AccountError:  # the pending login has ended, or the user may no longer log in
        return start_again(request)
    options = passkey_options.for_second_factor(user, pending_logins.digest_of(token))
    context = {"form": form, "title": _("Second factor"), "next": page_urls.following(request)}
    context |= proof_forms.passkey_context(form, options)
    return proof_forms.response(request, TEMPLATE, site.each_context(request) | context, form.error)


def read_token(request: HttpRequest) -> str:
    """Returns the token of the pending login, or "" without one."""
    return str(request.session.get(TOKEN_KEY, ""))


def enter_and_redirect(request: HttpRequest, session: Session) -> HttpResponseRedirect:
    """Signs the user of the session in, and redirects to the page that they requested."""
    request.session.pop(TOKEN_KEY, None)
    login.enter(request, session)
    return redirect(page_urls.following(request))


def start_again(request: HttpRequest) -> HttpResponseRedirect:
    """Redirects to the login page, with a message if there was a pending login."""
    if request.session.pop(TOKEN_KEY, None):
        messages.warning(request, _("This login has expired. Please log in again."))
    return redirect(page_urls.login(page_urls.following(request)))
