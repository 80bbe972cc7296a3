"""The panel as a whole: who may enter, and what it is called."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.i18n import set_language

from accounts.admin import overview, signing_in

#: What other packages would list here and nobody needs: a user has one role, and a mail's row is its result.
UNUSED = {"auth.group", "django_celery_results.groupresult", "django_celery_results.taskresult"}
PLACES = {"User": 0, "Role": 1, "Session": 2, "AuditEvent": 3}


class Panel(admin.AdminSite):
    site_title = "UserManager"
    site_header = "UserManager"
    index_title = _("Overview")
    site_url = None
    enable_nav_sidebar = False
    login_form = signing_in.LoginForm

    def __init__(self) -> None:
        super().__init__()
        self.disable_action("delete_selected")  # it asks no use case

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        models: Iterable[type[Model]] = (
            [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        )
        used = [model for model in models if model._meta.label_lower not in UNUSED]
        super().register(used, admin_class, **options)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What people come for first: users before what is about them."""
        found = super().get_app_list(request, app_label)
        for app in found:
            app["models"].sort(key=lambda model: PLACES.get(model["object_name"], len(PLACES)))
        return found

    def get_urls(self) -> list[Any]:
        """With the choice of a language, also for who is not signed in, which a cookie remembers.

        Without "view on site": nothing here has a page elsewhere, and it fails on what is no id.
        """
        theirs = [one for one in super().get_urls() if getattr(one, "name", None) != "view_on_site"]
        return [path("language/", set_language, name="language"), *theirs]

    def has_permission(self, request: HttpRequest) -> bool:
        """For people whose role permits something, as long as the session stands that they opened by signing in."""
        return super().has_permission(request) and signing_in.session_of(request) is not None

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, overview.context(request) | (extra_context or {}))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().login(request, extra_context)
        form = (response.context_data or {}).get("form") if isinstance(response, TemplateResponse) else None
        if isinstance(form, signing_in.LoginForm) and form.refusal and form.retry_after:
            response.status_code = form.refusal.status
            response["Retry-After"] = str(form.retry_after)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {**self.each_context(request), **(extra_context or {})}
        return signing_in.PasswordChange.as_view(extra_context=context)(request)


@cache
def panel() -> Panel:
    """The one site. Django asks for it again while it loads it; a second one would lack what was registered by then."""
    return Panel()
