"""Declares the app to Django, and connects the signals of accounts with their emails."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import celery_app  # noqa: F401  tasks are bound to it
        from notifications import checks, receivers  # noqa: F401  registers the checks

        receivers.connect()
