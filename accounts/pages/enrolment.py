"""The page behind the link that a user gets after an administrator reset their second factors.

It asks for the password, offers to add an authenticator app or a passkey, and shows the recovery codes. Between these
steps, hidden fields of the forms hold the token of the pending login and the id of the app's enrolment.
"""

import json
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts import enrolment, passkey_registration
from accounts.enrolment import Enrolling, NewTotp
from accounts.errors import AccountError, Conflict, InvalidInput, InvalidSecondFactor, InvalidToken, TokenNotValid
from accounts.mfa import factors, submitted_proofs, totp_setup
from accounts.one_time_tokens import Purpose
from accounts.pages.forms import ConfirmTotpForm, CurrentPasswordForm, EnrolmentForm, PasskeyForm
from accounts.pages.links import LinkPage

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class SetUpSecondFactor(LinkPage):
    purpose = Purpose.SECOND_FACTOR
    form_class = CurrentPasswordForm
    heading = _("Set up a second factor")
    lead = _(
        "An administrator reset the second factors of your %(site)s account. Enter your password to set up a new one."
    )
    button = _("Continue")
    done_heading = _("Your second factor is set up")
    next_step = _("If you haven't set up a second factor yet, ask an administrator to reset it again.")

    def post(self, request: HttpRequest) -> HttpResponse:
        if "mfa_token" not in request.POST:
            return super().post(request)
        try:
            return self._add_passkey() if request.POST.get("passkey") else self._check_code()
        except (InvalidToken, TokenNotValid):
            self.lead = _("You took too long, or too many codes were wrong. Please sign in again.")
            return self.form_page(CurrentPasswordForm(), InvalidToken.status)
        except AccountError as error:
            return self._error_page(error)

    def perform(self, data: dict[str, Any]) -> HttpResponse:
        """Begins the enrolment after the right password, and shows the secret of the app."""
        try:
            mfa_token = enrolment.begin_with_link(self.secret, data["password"])
            enrolling = enrolment.in_pending_login(mfa_token)
            new = enrolment.begin_totp(enrolling, emailed_token=self.secret)
            form = ConfirmTotpForm(initial={"mfa_token": mfa_token, "factor": new.id})
            return self._factor_page(form, enrolling, new)
        except InvalidToken as error:  # another request has used the link meanwhile
            return self._error_page(error)

    def _check_code(self) -> HttpResponse:
        """Adds the app and returns the recovery codes, or the same page again after a wrong code."""
        form, status = ConfirmTotpForm(self.request.POST), InvalidToken.status
        if form.is_valid():
            try:
                codes = enrolment.confirm_totp_without_login(self._enrolling(form), **form.proof)
                done = _("From now on, sign in to %(site)s as %(email)s with your password and a code of the app.")
                return self._codes_page(codes, done)
            except InvalidSecondFactor as error:
                form.add_error("code", str(error.detail))
                status = error.status
        enrolling = self._enrolling(form)
        return self._factor_page(form, enrolling, _resume(enrolling, form), status)

    def _add_passkey(self) -> HttpResponse:
        """Adds the passkey that the browser created and returns the recovery codes, or the same page with the error."""
        form, status = PasskeyForm(self.request.POST), InvalidInput.status
        is_valid, enrolling = form.is_valid(), self._enrolling(form)
        if is_valid:
            answer = submitted_proofs.read_passkey(form.cleaned_data["passkey"])
            try:
                codes = passkey_registration.finish_without_login(enrolling, answer, name=form.cleaned_data["name"])
                done = _("From now on, you need your passkey to sign in to %(site)s as %(email)s.")
                return self._codes_page(codes, done)
            except (InvalidInput, Conflict) as error:
                form.add_error("passkey", str(error.detail))
                status = error.status
        first = next(str(text) for texts in form.errors.values() for text in texts)
        again, new = ConfirmTotpForm(initial=form.cleaned_data), _resume(enrolling, form)
        return self._factor_page(again, enrolling, new, status, passkey_error=first)

    def _enrolling(self, form: EnrolmentForm) -> Enrolling:
        """Returns the pending login that the form names. Raises InvalidToken if it is not one of the link's user."""
        enrolling = enrolment.in_pending_login(form.cleaned_data.get("mfa_token", ""))
        if enrolling.user.pk != self.user.pk:
            raise InvalidToken
        return enrolling

    def _factor_page(
        self, form: ConfirmTotpForm, enrolling: Enrolling, new: NewTotp, status: int = 200, *, passkey_error: str = ""
    ) -> HttpResponse:
        self.heading, self.button = _("Add a second factor"), _("Confirm")
        self.lead = _("We'll ask for it whenever you sign in.")
        options = passkey_registration.begin(enrolling, emailed_token=self.secret)
        details = {"passkey_options": json.dumps(options), "passkey_error": passkey_error}
        details["passkey_name"] = factors.default_name(enrolling.user, "passkey")
        details |= totp_setup.context(new.uri, new.secret)
        return self.form_page(form, status, template="accounts/add_second_factor.html", **details)

    def _codes_page(self, codes: list[str], done: "StrOrPromise") -> HttpResponse:
        self.done = done
        next_step = str(_("If you lose your second factor, each of these recovery codes lets you sign in once."))
        return self.done_page(
            self.email,
            template="accounts/recovery_codes.html",
            next_step=next_step,
            recovery_codes=codes,
            **self._next_steps(self.user),
        )


def _resume(enrolling: Enrolling, form: EnrolmentForm) -> NewTotp:
    """Returns the app's enrolment that the form names. Raises InvalidToken if it has ended."""
    factor = form.cleaned_data.get("factor")
    new = enrolment.resume_totp(enrolling, factor) if factor else None
    if new is None:
        raise InvalidToken
    return new
