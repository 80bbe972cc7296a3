"""The outbox: a row for each email, with its recipient, state and attempts."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.email_addresses import ADDRESS_LENGTH
from accounts.models.identifiers import new_id

MAX_ATTEMPTS = 12
ERROR_LENGTH = 500


class Queue(models.TextChoices):
    """An email for which a user waits goes before the emails of an import."""

    NOW = "now", _("now")
    BULK = "bulk", _("bulk")


class State(models.TextChoices):
    PENDING = "owed", _("pending")
    SENDING = "sending", _("being sent")
    SENT = "sent", pgettext_lazy("email", "sent")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class OutboxMailQuerySet(models.QuerySet["OutboxMail"]):
    def still_claimed(self, mail: "OutboxMail") -> "OutboxMailQuerySet":
        """Finds the email while the claim with which it was read holds. A later claim has another lease."""
        return self.filter(pk=mail.pk, state=State.SENDING, lease_until=mail.lease_until)


class OutboxMail(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        verbose_name=_("user"),
        help_text=_("Empty where the request must not show whether the address is known. The sender looks it up."),
    )
    email = models.CharField(_("email address"), max_length=ADDRESS_LENGTH)
    email_key = models.CharField(max_length=ADDRESS_LENGTH, editable=False)
    language = models.CharField(_("language"), max_length=5, help_text=_("Used if the user has chosen none."))
    data = models.JSONField(_("details"), default=dict, help_text=_("Values for the text. Never a secret."))
    queue = models.CharField(_("queue"), max_length=4, choices=Queue.choices, default=Queue.NOW)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(
        _("attempts"), default=0, help_text=_("Counted when an attempt begins.")
    )
    next_attempt_at = models.DateTimeField(_("next attempt"), default=timezone.now)
    lease_until = models.DateTimeField(
        _("lease"),
        null=True,
        help_text=_(
            "While being sent: until when it belongs to its sender. While pending: until when a worker is expected."
        ),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True)
    last_error = models.CharField(_("last error"), max_length=ERROR_LENGTH, blank=True, default="")

    objects = OutboxMailQuerySet.as_manager()
    is_probe = False  # claimed while the queue is held, to test whether the mail server takes emails again

    class Meta:
        verbose_name = _("email")
        verbose_name_plural = _("emails")
        constraints = (
            models.CheckConstraint(condition=Q(state__in=State.values), name="mail_state_is_known"),
            models.CheckConstraint(condition=Q(queue__in=Queue.values), name="mail_queue_is_known"),
            models.CheckConstraint(condition=Q(attempts__lte=MAX_ATTEMPTS), name="mail_tries_are_bounded"),
            models.CheckConstraint(
                condition=~Q(state=State.SENDING) | Q(lease_until__isnull=False), name="mail_being_sent_has_lease"
            ),
            models.CheckConstraint(
                condition=Q(state=State.SENT, sent_at__isnull=False) | (~Q(state=State.SENT) & Q(sent_at__isnull=True)),
                name="mail_sent_has_time",
            ),
        )
        indexes = (
            # The relay queries these each second. They stay small, however many emails were sent.
            models.Index(fields=["-queue", "next_attempt_at"], condition=Q(state=State.PENDING), name="mail_owed"),
            models.Index(fields=["lease_until"], condition=Q(state=State.SENDING), name="mail_being_sent"),
            models.Index(fields=["state", "created_at"], name="mail_state"),
            models.Index(fields=["email_key"], name="mail_address"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class DeliveryHold(models.Model):
    """Holds the queue while the mail server rejects this installation, and so would reject every email. One row
    at most.

    Emails wait without using up attempts. One at a time is sent as a probe, until the server takes one.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    reason = models.CharField(max_length=ERROR_LENGTH)
    since = models.DateTimeField(default=timezone.now)
    rejected = models.UUIDField(db_column="refused", help_text="The email that was rejected last.")
    # Rejections of the same email in a row count once
    rejections = models.PositiveIntegerField(db_column="refusals", default=1)
    probe = models.UUIDField(null=True, help_text="The email that may be sent now.")
    next_probe_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(pk=1), name="hold_is_one"),)

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} UTC: {self.reason}"
