"""The page behind the link that a user gets after an administrator reset their second factors.

It asks for the password, shows the secret for an authenticator app, checks a code of the app, and shows the recovery
codes. Between these steps, hidden fields of the form hold the token of the pending login and the id of the enrolment.
"""

import re
from typing import Any

import segno
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from accounts import enrolment
from accounts.enrolment import Enrolling, NewTotp
from accounts.errors import InvalidSecondFactor, InvalidToken, TokenNotValid
from accounts.one_time_tokens import Purpose
from accounts.pages.forms import CodeForm, CurrentPasswordForm
from accounts.pages.links import LinkPage

GROUP = 4


class SetUpSecondFactor(LinkPage):
    purpose = Purpose.SECOND_FACTOR
    form_class = CurrentPasswordForm
    heading = _("Set up a second factor")
    lead = _(
        "An administrator reset the second factors of your %(site)s account. Enter your password to set up a new one."
    )
    button = _("Continue")
    done_heading = _("Your second factor is set up")
    done = _("From now on, sign in to %(site)s as %(email)s with your password and a code of the app.")
    next_step = _("If you haven't set up a second factor yet, ask an administrator to reset it again.")

    def post(self, request: HttpRequest) -> HttpResponse:
        return self._confirm(CodeForm(request.POST)) if "mfa_token" in request.POST else super().post(request)

    def perform(self, data: dict[str, Any]) -> HttpResponse:
        """Begins the enrolment after the right password, and shows its secret."""
        try:
            mfa_token = enrolment.log_in_with_link(self.secret, data["password"])
            new = enrolment.begin_totp(enrolment.in_pending_login(mfa_token), emailed_token=self.secret)
        except InvalidToken as error:  # another request has used the link meanwhile
            return self._error_page(error)
        return self._secret_page(CodeForm(initial={"mfa_token": mfa_token, "factor": new.id}), new)

    def _confirm(self, form: CodeForm) -> HttpResponse:
        try:
            return self._check_code(form)
        except (InvalidToken, TokenNotValid):
            self.lead = _("You took too long, or too many codes were wrong. Please sign in again.")
            return self.form_page(CurrentPasswordForm(), InvalidToken.status)

    def _check_code(self, form: CodeForm) -> HttpResponse:
        """Returns the recovery codes, or the secret again after a wrong code. Raises InvalidToken, TokenNotValid."""
        status = InvalidToken.status
        if form.is_valid():
            try:
                return self._codes_page(enrolment.confirm_totp_without_login(self._enrolling(form), **form.proof))
            except InvalidSecondFactor as error:
                form.add_error("code", str(error.detail))
                status = error.status
        factor = form.cleaned_data.get("factor")
        new = enrolment.resume_totp(self._enrolling(form), factor) if factor else None
        if new is None:
            raise InvalidToken
        return self._secret_page(form, new, status)

    def _enrolling(self, form: CodeForm) -> Enrolling:
        enrolling = enrolment.in_pending_login(form.cleaned_data.get("mfa_token", ""))
        if enrolling.user.pk != self.user.pk:
            raise InvalidToken
        return enrolling

    def _secret_page(self, form: CodeForm, new: NewTotp, status: int = 200) -> HttpResponse:
        self.heading, self.button = _("Add your account to an authenticator app"), _("Confirm")
        self.lead = _("Scan this code with your authenticator app:")
        key = " ".join(re.findall(f".{{{GROUP}}}", new.secret))
        details = {"qr_code": _qr_code(new.uri), "key": key, "uri": new.uri}
        return self.form_page(form, status, template="accounts/totp_form.html", **details)

    def _codes_page(self, codes: list[str]) -> HttpResponse:
        next_step = str(_("If you lose your app, each of these recovery codes lets you sign in once."))
        return self.done_page(
            self.email,
            template="accounts/recovery_codes.html",
            next_step=next_step,
            recovery_codes=codes,
            **self._next_steps(self.user),
        )


def _qr_code(uri: str) -> SafeString:
    """Returns an SVG without styles and scripts, which the page's policy forbids. It contains no text."""
    drawn = segno.make_qr(uri).svg_inline(svgclass=None, lineclass=None, omitsize=True, light="#fff")
    return mark_safe(drawn)  # noqa: S308
