"""An audit event: who did what to whom, when and from where. Written once, and a link of a chain (see audit_chain)."""

from collections.abc import Iterable
from typing import Any, NoReturn

from django.db import models
from django.db.models import Case, F, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.identifiers import new_id

HASH_LENGTH = 64


class Unchangeable(TypeError):
    """Audit events are written by audit.record() and only read after that."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Reads events. The three methods at its end are the only ways in which they are written, blanked or removed."""

    def _refuse(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise Unchangeable

    create = update = delete = bulk_create = bulk_update = _update = _raw_delete = _refuse

    def append(self, events: Iterable["AuditEvent"]) -> None:
        """Writes events that were linked to a chain."""
        models.QuerySet.bulk_create(self, events)

    def forget_origin(self) -> int:
        """Blanks address, device and request, and the salt that their digest was made with; returns how many."""
        request_id = Case(When(has_request_in_digest=True, then=Value("")), default=F("request_id"))
        return models.QuerySet.update(self, ip=None, user_agent="", request_id=request_id, origin_salt="")

    def remove_links(self, chain: int, up_to: int) -> int:
        """Removes the oldest links of a chain, up to this position; returns how many."""
        events: models.QuerySet[AuditEvent] = models.QuerySet(self.model, using=self.db)
        return events.filter(chain=chain, position__lte=up_to).delete()[0]


class AuditEvent(models.Model):
    """People are named by id alone, so that an event may outlive them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    user_id = models.UUIDField(_("user"), null=True, blank=True)
    actor_id = models.UUIDField(_("actor"), null=True, blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    ip = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("device"), max_length=256, blank=True, default="")
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="")
    data = models.JSONField(_("details"), default=dict)
    origin_salt = models.CharField(max_length=32, blank=True, help_text="Erased when the person is deleted.")
    origin_digest = models.CharField(max_length=HASH_LENGTH, help_text="Of the salt, address, device and request.")
    has_request_in_digest = models.BooleanField(
        default=True, help_text="False: the hash itself covers the request's id, which stays."
    )
    chain = models.PositiveSmallIntegerField(help_text="The number of the chain that it is a link of.")
    position = models.PositiveBigIntegerField(help_text="In its chain, from 1.")
    hash = models.CharField(max_length=HASH_LENGTH, help_text="Of this event and the hash of the one before.")

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        base_manager_name = "objects"
        indexes = (
            models.Index(fields=["user_id", "id"], name="audit_user"),
            models.Index(fields=["actor_id", "id"], name="audit_actor"),
            models.Index(fields=["kind", "id"], name="audit_kind"),
            models.Index(fields=["created_at"], name="audit_created"),
        )
        constraints = (models.UniqueConstraint(fields=["chain", "position"], name="audit_position"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M:%S}"

    def save(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise Unchangeable

    def delete(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise Unchangeable


class AuditChain(models.Model):
    """Where a chain of events begins, since the oldest ones are pruned, and where it ends."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    pruned = models.PositiveBigIntegerField(default=0, help_text="The position up to which its events were pruned.")
    pruned_hash = models.CharField(max_length=HASH_LENGTH, blank=True, default="")
    length = models.PositiveBigIntegerField(default=0, help_text="The position of its newest event.")
    head = models.CharField(max_length=HASH_LENGTH, blank=True, default="", help_text="The hash of its newest event.")
    hash = models.CharField(max_length=HASH_LENGTH, help_text="Of this row.")

    def __str__(self) -> str:
        return f"chain {self.number}"

    def sealed(self) -> list[object]:
        """What the hash is of."""
        return [self.number, self.pruned, self.pruned_hash, self.length, self.head]


class AuditRegistry(models.Model):
    """The one list of all chains, and of how long each was when it was last looked at (see audit_registry)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    chains = models.JSONField(
        default=dict, help_text="For each number of a chain, the position and the hash of an event that it holds."
    )
    hash = models.CharField(max_length=HASH_LENGTH, default="", help_text="Of this row.")

    def __str__(self) -> str:
        return "the list of chains"

    def sealed(self) -> list[object]:
        """What the hash is of."""
        return [self.chains]
