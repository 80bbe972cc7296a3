"""Configures the app for Django, and creates the built-in roles and search indexes after each migration."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as current_apps
from django.contrib.admin import apps as admin_apps
from django.contrib.admin import autodiscover
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import checks, search, signals, suspension  # noqa: F401  checks register themselves
        from accounts.roles import ensure_builtin

        def make_roles(apps: Any = current_apps, **_options: Any) -> None:  # `flush` passes no apps
            ensure_builtin(apps.get_model("accounts", "Role"))

        def make_index(using: str, **_options: Any) -> None:
            search.ensure_indexes(connections[using])

        post_migrate.connect(make_roles, sender=self, weak=False, dispatch_uid="accounts.ensure_builtin")
        post_migrate.connect(make_index, sender=self, weak=False, dispatch_uid="accounts.search")
        signals.time_passed.connect(suspension.end_expired)


class PanelConfig(admin_apps.SimpleAdminConfig):
    """Django's admin app, with our site instead of its own.

    Only usermanager/urls.py and the checks load the pages. Relay, worker and commands need none of them, and would take
    a quarter longer to start.
    """

    default = False  # AccountsConfig is this package's default
    default_site = "accounts.admin.site.panel"

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def _check_pages(app_configs: Any, **options: Any) -> list[checks.CheckMessage]:
    autodiscover()
    return check_admin_app(app_configs, **options)
