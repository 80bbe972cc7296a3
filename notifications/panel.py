"""What the admin panel shows of mails outside their list: those of a user, and how many failed."""

from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.admin import words
from accounts.admin.base import holds
from accounts.admin.charts import counted
from accounts.admin.overview import Tile, on_overview
from accounts.admin.sections import ROWS, Section, on_user_page
from accounts.models import User
from notifications import hold
from notifications.mails import KINDS
from notifications.models import OutboxMail, State

TONES: dict[str, str] = {State.SENT: "good", State.FAILED: "bad", State.OWED: "warn", State.SENDING: "warn"}


def state(mail: OutboxMail) -> SafeString:
    return words.badge(mail.get_state_display(), TONES.get(mail.state, ""))


def kind(mail: OutboxMail) -> str:
    """In words, where it is one of ours."""
    return str(KINDS[mail.kind].label) if mail.kind in KINDS else mail.kind


def reason(mail: OutboxMail) -> str:
    """Why it did not go: ours in the language of the panel, a mail server's as it said it."""
    return _(mail.last_error)


def link(mail: OutboxMail) -> SafeString:
    page = reverse("admin:notifications_outboxmail_change", args=[mail.pk])
    return format_html('<a href="{}" title="{}">{}</a>', page, mail.kind, kind(mail))


@on_overview
def _failed(request: HttpRequest) -> Tile | None:
    """How many mails nobody tries to send any more."""
    if not holds(request, "mails.view"):
        return None
    number = counted("mails.failed", lambda: OutboxMail.objects.filter(state=State.FAILED))
    return Tile(_("Failed mails"), number, _list(state=State.FAILED), "bad")


@on_overview
def _held(request: HttpRequest) -> Tile | None:
    """How many emails wait, while the mail server refuses this installation; the list says why."""
    if not holds(request, "mails.view") or hold.current() is None:
        return None
    number = counted("mails.held", lambda: OutboxMail.objects.filter(state=State.OWED))
    return Tile(_("Emails held: the mail server refuses them"), number, _list(state=State.OWED), "bad")


def why_held() -> str:
    """Why no email goes out, if none does."""
    if (held := hold.current()) is None:
        return ""
    since = words.moment(held.since)
    return _("The mail server has refused this installation since %(since)s, so all emails wait: %(reason)s") % {
        "since": since,
        "reason": held.reason,
    }


@on_user_page
def _of_user(request: HttpRequest, user: User) -> Section | None:
    """What was sent to the user lately, or is to be."""
    if not holds(request, "mails.view"):
        return None
    mails = OutboxMail.objects.filter(email_key=user.email_key).order_by("-id")[:ROWS]
    columns = [_("When"), _("Kind"), _("State"), _("Last error")]
    return Section("mails", _("Mails"), columns, [_row(mail) for mail in mails], _("No mails."), _list(q=user.email))


def _row(mail: OutboxMail) -> list[object]:
    return [words.moment(mail.created_at), link(mail), state(mail), reason(mail)]


def _list(**query: str) -> str:
    return f"{reverse('admin:notifications_outboxmail_changelist')}?{urlencode(query)}"
