"""Asks a signed-in user of the panel to prove again who they are, before a sensitive action."""

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import freshness, second_factor
from accounts.admin import page_urls, proof_forms
from accounts.admin.login import get_session
from accounts.admin.proof_forms import FactorForm, PasswordProofForm, ProofForm
from accounts.errors import AccountError, TokenNotValid
from accounts.mfa import passkey_options
from accounts.models import Session

TEMPLATE = "admin/accounts/step_up.html"


def is_fresh(request: HttpRequest) -> bool:
    """Returns whether the user proved recently enough who they are."""
    session = get_session(request)
    return session is not None and freshness.is_fresh(session)


def ask(request: HttpRequest, following: str) -> HttpResponseRedirect:
    """Leads to the page that asks for a proof, and from there to `following`. Nothing of the request was done."""
    if request.method == "POST":
        messages.warning(request, _("Nothing was changed yet. Confirm that it is you, then send the action again."))
    return redirect(page_urls.confirm(following))


@sensitive_post_parameters()
def view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Asks for a code or a passkey or, from a user without a second factor, for the password."""
    session = get_session(request)
    assert session is not None  # AdminSite.admin_view() has checked it
    form = _form(request, session)
    if form.is_valid():
        try:
            _step_up(session, form)
            return redirect(page_urls.following(request))
        except TokenNotValid:  # the session has just ended
            return redirect(page_urls.login(page_urls.following(request)))
        except AccountError as error:
            form.reject(error)
    context = {"form": form, "title": _("Confirm that it is you"), "next": page_urls.following(request)}
    context |= proof_forms.passkey_context(form, passkey_options.for_step_up(session))
    return proof_forms.response(request, TEMPLATE, site.each_context(request) | context, form.error)


def _form(request: HttpRequest, session: Session) -> ProofForm:
    if session.user.mfa_enabled:
        return proof_forms.factor_form(request, session.user)
    return PasswordProofForm(request.POST if request.method == "POST" else None)


def _step_up(session: Session, form: ProofForm) -> None:
    if isinstance(form, FactorForm):
        second_factor.step_up(session, form.submitted)
    else:
        second_factor.step_up_with_password(session, form.cleaned_data["password"])
