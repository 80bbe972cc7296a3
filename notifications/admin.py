"""The outbox in the admin panel: everything to be seen, and nothing changed but by sending again and cancelling."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.admin import words
from accounts.admin.base import PanelModelAdmin, holds
from notifications import doorbell, outbox, panel
from notifications.models import OutboxMail, State


@admin.register(OutboxMail)
class OutboxMailAdmin(PanelModelAdmin):
    needs: ClassVar[dict[str, str]] = {"view": "mails.view"}
    list_display = ("created", "kind", "email", "how_it_went", "attempts", "next_try", "last_error")
    list_display_links = ("kind",)
    list_filter = ("state", "kind", "queue", "language")
    search_fields = ("=email_key", "=id")
    search_help_text = _("A whole address, or an id.")
    exclude = ("lease_until",)
    actions = ("retry", "cancel")

    @admin.display(description=_("created"), ordering="id")
    def created(self, mail: OutboxMail) -> str:
        return words.moment(mail.created_at)

    @admin.display(description=_("state"))
    def how_it_went(self, mail: OutboxMail) -> SafeString:
        return panel.state(mail)

    @admin.display(description=_("next try"))
    def next_try(self, mail: OutboxMail) -> str:
        return words.moment(mail.next_attempt_at) if mail.state == State.OWED else words.NOTHING

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
