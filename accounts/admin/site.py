"""The admin site: access, the order of its lists, and its own pages for the login, passwords and second factors."""

import json
from collections.abc import Callable, Iterable
from functools import cache, update_wrapper
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.i18n import set_language

from accounts import passkey_login
from accounts.admin import login, overview, own_factors, proof_forms, second_step, step_up
from accounts.mfa import policy

#: Models of other packages that the panel leaves out: a user has one role, and an outbox row has its own result.
HIDDEN_MODELS = {"auth.group", "django_celery_results.groupresult", "django_celery_results.taskresult"}
#: Pages of a user who must add a second factor, by the names of their URLs. Every other page redirects to
#: `second_factor`.
OPEN_TO_OVERDUE = {"second_factor", "confirm", "logout", "jsi18n"}
MODEL_ORDER = {"User": 0, "Role": 1, "Session": 2, "AuditEvent": 3}


class Panel(admin.AdminSite):
    site_title = "UserManager"
    site_header = "UserManager"
    index_title = _("Overview")
    site_url = None
    enable_nav_sidebar = False
    login_form = login.LoginForm

    def __init__(self) -> None:
        super().__init__()
        self.disable_action("delete_selected")  # it bypasses the use case

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models: Iterable[type[Model]] = (
            [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        )
        used = [model for model in models if model._meta.label_lower not in HIDDEN_MODELS]
        super().register(used, admin_class, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Puts users first, then roles, sessions and events."""
        found = super().get_app_list(request, app_label)
        for app in found:
            app["models"].sort(key=lambda model: MODEL_ORDER.get(model["object_name"], len(MODEL_ORDER)))
        return found

    def get_urls(self) -> list[Any]:
        """Adds the pages of second factors, and the choice of a language, which is stored in a cookie. Of these, only
        `confirm/` needs a session.

        Removes "view on site": no object has a page elsewhere, and the view fails on an invalid id.
        """
        patterns = [one for one in super().get_urls() if getattr(one, "name", None) != "view_on_site"]
        own_urls = [
            path("language/", set_language, name="language"),
            path("login/second/", lambda request: second_step.view(request, self), name="second_step"),
            path("second-factor/", lambda request: own_factors.view(request, self), name="second_factor"),
            path("confirm/", self.admin_view(lambda request: step_up.view(request, self)), name="confirm"),
        ]
        return own_urls + patterns

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Redirects a user who must add a second factor to the page that adds one, except from OPEN_TO_OVERDUE."""

        def guarded(request: HttpRequest, *args: Any, **options: Any) -> Any:
            return redirect("admin:second_factor") if _is_overdue(request) else view(request, *args, **options)

        return super().admin_view(update_wrapper(guarded, view), cacheable)

    def has_permission(self, request: HttpRequest) -> bool:
        """Allows users whose role has a permission of the panel, while their session is active."""
        return super().has_permission(request) and login.get_session(request) is not None

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, overview.context(request) | (extra_context or {}))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        options = {"passkey_options": json.dumps(passkey_login.begin())} if settings.PASSKEY_LOGIN else {}
        response = super().login(request, options | (extra_context or {}))
        if not isinstance(response, TemplateResponse):
            return response
        form = (response.context_data or {}).get("form")
        if isinstance(form, login.LoginForm) and form.error:
            return second_step.after_password(request, form.error) or proof_forms.show_wait(response, form.error)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        session = login.get_session(request)
        if session and session.user.mfa_enabled and not step_up.is_fresh(request):
            return step_up.ask(request, request.path)
        context = {**self.each_context(request), **(extra_context or {})}
        return login.PasswordChange.as_view(extra_context=context)(request)


def _is_overdue(request: HttpRequest) -> bool:
    session = login.get_session(request)
    name = request.resolver_match.url_name if request.resolver_match else None
    return session is not None and name not in OPEN_TO_OVERDUE and policy.is_overdue(session.user)


@cache
def panel() -> Panel:
    """Returns the only site. Django calls this again while it loads; a second site would lack the models so far."""
    return Panel()
