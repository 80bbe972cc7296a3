"""The outbox on other pages of the admin panel: tiles of the overview, the emails of a user, and shared formatting."""

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.admin import formatting
from accounts.admin.base import has_permission
from accounts.admin.charts import cached_count
from accounts.admin.overview import Tile, on_overview
from accounts.admin.sections import ROWS, Section, on_user_page
from accounts.models import User
from notifications.content.kinds import KINDS
from notifications.models import OutboxMail, State
from notifications.sending import hold

TONES: dict[str, str] = {State.SENT: "good", State.FAILED: "bad", State.PENDING: "warn", State.SENDING: "warn"}


def state(mail: OutboxMail) -> SafeString:
    return formatting.badge(mail.get_state_display(), TONES.get(mail.state, ""))


def kind(mail: OutboxMail) -> str:
    """Returns the label of the kind; its name if this version does not know it."""
    return str(KINDS[mail.kind].label) if mail.kind in KINDS else mail.kind


def reason(mail: OutboxMail) -> str:
    """Returns why the email was not sent: in the language of the panel, or in the words of the mail server."""
    return _(mail.last_error)


def link(mail: OutboxMail) -> SafeString:
    page = reverse("admin:notifications_outboxmail_change", args=[mail.pk])
    return format_html('<a href="{}" title="{}">{}</a>', page, mail.kind, kind(mail))


@on_overview
def _failed(request: HttpRequest) -> Tile | None:
    """Counts the emails that have failed."""
    if not has_permission(request, "mails.view"):
        return None
    number = cached_count("mails.failed", lambda: OutboxMail.objects.filter(state=State.FAILED))
    return Tile(_("Failed emails"), number, _list(state=State.FAILED), "bad")


@on_overview
def _held(request: HttpRequest) -> Tile | None:
    """Counts the waiting emails while the mail server rejects this installation; the list says why."""
    if not has_permission(request, "mails.view") or hold.current() is None:
        return None
    number = cached_count("mails.held", lambda: OutboxMail.objects.filter(state=State.PENDING))
    return Tile(_("Emails on hold: the mail server rejects them"), number, _list(state=State.PENDING), "bad")


def why_held() -> str:
    """Returns why the queue is held; "" if it is not."""
    if (held := hold.current()) is None:
        return ""
    since = formatting.relative_time(held.since)
    return _("The mail server has rejected this installation since %(since)s, so all emails wait: %(reason)s") % {
        "since": since,
        "reason": held.reason,
    }


@on_user_page
def _of_user(request: HttpRequest, user: User) -> Section | None:
    """Lists the newest emails to the user's address."""
    if not has_permission(request, "mails.view"):
        return None
    mails = OutboxMail.objects.filter(email_key=user.email_key).order_by("-id")[:ROWS]
    rows: list[list[object]] = [
        [formatting.relative_time(mail.created_at), link(mail), state(mail), reason(mail)] for mail in mails
    ]
    columns = [_("When"), _("Kind"), _("State"), _("Last error")]
    return Section("mails", _("Emails"), columns, rows, _("No emails."), _list(q=user.email))


def _list(**query: str) -> str:
    return f"{reverse('admin:notifications_outboxmail_changelist')}?{urlencode(query)}"
