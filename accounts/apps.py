"""Names the app for Django, and makes the built-in roles whenever the tables were made."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as current_apps
from django.contrib.admin import apps as admin_apps
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import checks, search, signals, suspension  # noqa: F401  checks register themselves
        from accounts.role_changes import ensure_builtin

        def make_roles(apps: Any = current_apps, **_options: Any) -> None:  # `flush` names none
            ensure_builtin(apps.get_model("accounts", "Role"))

        def make_index(using: str, **_options: Any) -> None:
            search.ensure_index(connections[using])

        post_migrate.connect(make_roles, sender=self, weak=False, dispatch_uid="accounts.ensure_builtin")
        post_migrate.connect(make_index, sender=self, weak=False, dispatch_uid="accounts.search")
        signals.time_passed.connect(suspension.end_all_over)


class PanelConfig(admin_apps.AdminConfig):
    """Django's admin, with our site in the place of its own."""

    default = False  # of this package, AccountsConfig is
    default_site = "accounts.admin.site.panel"
