"""The view that all pages with a form are made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views import View

from accounts.errors import AccountError
from accounts.forms import add_account_error, set_retry_after

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class FormPage(View):
    """A page with a form and one button, and the message that follows. Its texts may contain `site` and `email`."""

    http_method_names = ("get", "head", "post", "options")
    form_class: type[forms.Form] = forms.Form
    heading: "StrOrPromise"
    lead: "StrOrPromise"
    button: "StrOrPromise"
    done_heading: "StrOrPromise"
    done: "StrOrPromise"
    email = ""
    secret = ""

    def perform(self, data: dict[str, Any]) -> HttpResponse:
        """Calls the use case and returns the page that follows. Raises AccountError."""
        raise NotImplementedError

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.form_page(self.form_class())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self.form_class(request.POST)
        if not form.is_valid():
            return self.form_page(form, 400)
        try:
            return self.perform(form.cleaned_data)
        except AccountError as error:
            add_account_error(form, error)
            return set_retry_after(self.form_page(form, error.status), error)

    def form_page(
        self, form: forms.Form, status: int = 200, *, template: str = "accounts/form.html", **details: Any
    ) -> HttpResponse:
        _focus_first_invalid_field(form)
        context = {
            "heading": self.heading,
            "text": self._fill(self.lead, self.email),
            "email": self.email,
            "secret": self.secret,
            "form": form,
            "button": self.button,
            **details,
        }
        return render_page(self.request, template, context, status)

    def done_page(self, email: str = "", *, template: str = "accounts/message.html", **next_steps: Any) -> HttpResponse:
        heading, text = self._fill(self.done_heading, email), self._fill(self.done, email)
        context = {"heading": heading, "text": text, "is_done": True, **next_steps}
        return render_page(self.request, template, context)

    def _fill(self, text: "StrOrPromise", email: str) -> str:
        return str(text) % {"site": settings.SITE_NAME, "email": email}


def render_page(request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    page = render(request, template, {**context, "site": settings.SITE_NAME}, status=status)
    page["Content-Language"] = translation.get_language() or settings.LANGUAGE_CODE
    # The page's URL contains the token, so no request may send it on, not even the one for our style sheet. With
    # "no-referrer", browsers would also send no `Origin` header with the form, and Django's CSRF check needs it.
    page["Referrer-Policy"] = "strict-origin"
    return page


def _focus_first_invalid_field(form: forms.Form) -> None:
    """Puts the cursor into the first invalid field, where screen readers read its error."""
    invalid = [name for name in form.fields if name in form.errors]
    for name in invalid[:1]:
        form.fields[name].widget.attrs["autofocus"] = True
