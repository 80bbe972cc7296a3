"""The outbox in the admin panel: everything to be seen, and nothing changed but by sending again and cancelling."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin.base import PanelModelAdmin, holds
from notifications import doorbell, outbox
from notifications.models import OutboxMail


@admin.register(OutboxMail)
class OutboxMailAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "mails.view"}
    list_display = ("created_at", "kind", "email", "state", "attempts", "next_attempt_at", "last_error")
    list_filter = ("state", "kind", "queue", "language")
    search_fields = ("=email_key", "=id")
    search_help_text = _("A whole address, or an id.")
    exclude = ("lease_until",)
    actions = ("retry", "cancel")

    @admin.action(description=_("Send again"), permissions=["settle"])
    def retry(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> None:
        number = outbox.retry(chosen)
        doorbell.ring()
        text = ngettext("%d mail will be tried again.", "%d mails will be tried again.", number) % number
        self.message_user(request, text, messages.SUCCESS if number else messages.WARNING)

    @admin.action(description=_("Cancel"), permissions=["settle"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[OutboxMail]) -> None:
        number = outbox.cancel(chosen, "An administrator cancelled it.")
        text = ngettext("%d mail was cancelled.", "%d mails were cancelled.", number) % number
        self.message_user(request, text, messages.SUCCESS if number else messages.WARNING)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return holds(request, "mails.change")
