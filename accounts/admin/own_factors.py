"""The page on which users of the panel see, add and remove their own second factors.

A user who must add one before they can log in has no session yet: the cookie holds the token of their pending login.
"""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from accounts import enrolment, factor_changes, freshness, passkey_registration
from accounts.admin import login, page_urls, second_step, step_up
from accounts.admin.proof_forms import CodeForm
from accounts.enrolment import Enrolled, Enrolling, NewTotp
from accounts.errors import AccountError, InvalidInput, InvalidToken
from accounts.forms import FactorNameField
from accounts.mfa import factors, policy, recovery_codes, submitted_proofs, totp_setup

TOTP_KEY = "accounts.totp"  # in Django's session: the id of the enrolment that this browser began
TEMPLATE = "admin/accounts/own_factors.html"
CODES_TEMPLATE = "admin/accounts/recovery_codes.html"

Handler = Callable[[HttpRequest, AdminSite, Enrolling], HttpResponse]


@never_cache
@sensitive_post_parameters()
def view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Shows the factors, or performs the `operation` of a form on them."""
    enrolling = _read_user(request, site)
    if enrolling is None:
        return second_step.start_again(request)
    if request.method != "POST":
        return _page(request, site, enrolling)
    named = request.POST.get("operation", "")
    handler = HANDLERS.get(named)
    if handler is None or (enrolling.session is None and named not in BEFORE_LOGIN):
        raise BadRequest
    if not _is_fresh(enrolling):
        return step_up.ask(request, _address(request))
    return handler(request, site, enrolling)


def _read_user(request: HttpRequest, site: AdminSite) -> Enrolling | None:
    """Returns the user of the session or else of the pending login, or None without either."""
    session = login.get_session(request)
    if session is not None and site.has_permission(request):
        return enrolment.in_session(session)
    try:
        return enrolment.in_pending_login(second_step.read_token(request), lifetime=login.LIFETIME)
    except InvalidToken:
        return None


def _is_fresh(enrolling: Enrolling) -> bool:
    return enrolling.session is None or freshness.is_fresh(enrolling.session)


def _begin(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    _begin_totp(request, enrolling)
    return redirect(_address(request))


def _confirm(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    """Activates the authenticator app. A user without session is signed in. The first factor brings recovery codes."""
    form, begun = CodeForm(request.POST), _read_begun(request)
    if begun is None or not form.is_valid():
        return _page(request, site, enrolling, form)
    try:
        enrolled = enrolment.confirm_totp(enrolling, begun, form.cleaned_data["code"])
    except InvalidToken:
        return _restart(request)
    except AccountError as error:
        form.reject(error)
        return _page(request, site, enrolling, form)
    request.session.pop(TOTP_KEY)
    return _after_adding(request, site, enrolling, enrolled)


def _add_passkey(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    """Adds the passkey that the browser has created. A user without session is signed in."""
    try:
        enrolment.require_allowed(enrolling)
        name = request.POST.get("name", "").strip() and _read_name(request)
        answer = submitted_proofs.read_passkey(request.POST.get("passkey", ""))
        enrolled = passkey_registration.finish(enrolling, answer, name=name)
    except InvalidToken:
        return _restart(request)
    except AccountError as error:
        return _page(request, site, enrolling, passkey_error=str(error.detail))
    return _after_adding(request, site, enrolling, enrolled)


def _restart(request: HttpRequest) -> HttpResponse:
    messages.warning(request, _("This took too long. Please start again."))
    return redirect(_address(request))


def _after_adding(request: HttpRequest, site: AdminSite, enrolling: Enrolling, enrolled: Enrolled) -> HttpResponse:
    if enrolling.session is None:
        second_step.enter_and_redirect(request, enrolled.sign_in.session)
    if enrolled.recovery_codes:
        return _codes_page(request, site, enrolled.recovery_codes)
    messages.success(request, _("The second factor was added. You were logged out everywhere else."))
    return redirect(_address(request))


@sensitive_variables("codes")
def _codes_page(request: HttpRequest, site: AdminSite, codes: list[str]) -> HttpResponse:
    """Shows recovery codes, which no other page shows."""
    context = {"title": _("Recovery codes"), "codes": codes, "next": page_urls.following(request)}
    return TemplateResponse(request, CODES_TEMPLATE, site.each_context(request) | context)


def _page(
    request: HttpRequest,
    site: AdminSite,
    enrolling: Enrolling,
    form: CodeForm | None = None,
    *,
    passkey_error: str = "",
) -> HttpResponse:
    """Shows the factors, and the enrolment that this browser began."""
    user, must_enrol = enrolling.user, policy.is_overdue(enrolling.user)
    begun = _resume_or_begin(request, enrolling, must_enrol=must_enrol)
    context = {
        "title": _("Set up a second factor") if must_enrol else _("Second factors"),
        "factors": factors.of_user(user),
        "codes_left": recovery_codes.number_left(user),
        "must_enrol": must_enrol,
        "next": request.POST.get("next") or request.GET.get("next", ""),
        "passkey_options": _passkey_options(enrolling),
        "passkey_error": passkey_error,
        "passkey_name": factors.default_name(user, "passkey"),
        **({"form": form or CodeForm(), **totp_setup.context(begun.uri, begun.secret)} if begun else {}),
    }
    hidden: dict[str, Any] = {"available_apps": []} if must_enrol else {}  # all of them redirect here
    return TemplateResponse(request, TEMPLATE, site.each_context(request) | hidden | context)


def _passkey_options(enrolling: Enrolling) -> str:
    """Returns the options of a new passkey. Without them, the page sends the action, which answers with the reason."""
    try:
        return json.dumps(passkey_registration.begin(enrolling)) if _is_fresh(enrolling) else ""
    except AccountError:
        return ""


def _resume_or_begin(request: HttpRequest, enrolling: Enrolling, *, must_enrol: bool) -> NewTotp | None:
    """Returns the enrolment that this browser began, and begins one for a user who must enrol."""
    if not _is_fresh(enrolling):
        return None
    begun = _read_begun(request)
    found = enrolment.resume_totp(enrolling, begun) if begun else None
    return found or (_begin_totp(request, enrolling) if must_enrol else None)


def _begin_totp(request: HttpRequest, enrolling: Enrolling) -> NewTotp | None:
    """Begins an enrolment. Shows a message and returns None if the user may not."""
    try:
        begun = enrolment.begin_totp(enrolling)
    except InvalidToken:
        messages.error(request, _("Please open the link in the email that we sent you, and set up a new one there."))
        return None
    except AccountError as error:
        messages.error(request, str(error.detail))
        return None
    request.session[TOTP_KEY] = str(begun.id)
    return begun


def _read_begun(request: HttpRequest) -> UUID | None:
    named = request.session.get(TOTP_KEY)
    return UUID(named) if named else None


def _rename(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    def rename() -> None:
        factor_changes.rename(enrolling.user, _factor(request), _read_name(request))

    return _change(request, rename, _("Renamed."))


def _read_name(request: HttpRequest) -> str:
    """Returns the new name of a factor. Raises InvalidInput."""
    try:
        return str(FactorNameField().clean(request.POST.get("name", "")))
    except ValidationError as error:
        raise InvalidInput("name", "invalid", error.messages[0]) from error


def _remove(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    """Removes a factor. Sessions that were opened with it end, perhaps this one."""
    done = _("The second factor was removed. Sessions that were opened with it have ended.")
    return _change(request, lambda: factor_changes.remove(enrolling.user, _factor(request)), done)


def _make_codes(request: HttpRequest, site: AdminSite, enrolling: Enrolling) -> HttpResponse:
    try:
        return _codes_page(request, site, factor_changes.make_recovery_codes(enrolling.user))
    except AccountError as error:
        messages.error(request, str(error.detail))
        return redirect(_address(request))


def _change(request: HttpRequest, change: Callable[[], object], done: str) -> HttpResponse:
    try:
        change()
        messages.success(request, done)
    except AccountError as error:
        messages.error(request, str(error.detail))
    return redirect(_address(request))


def _factor(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("factor", ""))
    except ValueError as error:
        raise BadRequest from error


def _address(request: HttpRequest) -> str:
    return page_urls.own_factors(request.POST.get("next", ""))


HANDLERS: dict[str, Handler] = {
    "begin": _begin,
    "confirm": _confirm,
    "passkey": _add_passkey,
    "rename": _rename,
    "remove": _remove,
    "codes": _make_codes,
}
#: What a user without a session may do, who must add a factor.
BEFORE_LOGIN = {"begin", "confirm", "passkey"}
