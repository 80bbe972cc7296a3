"""Audit events: the actor, the user, the change, the time and the client. Each is written once, as a link of a chain
(see audit/chain.py)."""

from collections.abc import Sequence
from typing import Any, NoReturn

from django.db import models
from django.db.models import Case, F, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import constant_writes
from accounts.models.identifiers import new_id

HASH_LENGTH = 64


class Unchangeable(TypeError):
    """An audit event can't be changed after audit.record() wrote it."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Reads events. Only its last three methods write events, erase their request context or delete them."""

    def _raise_unchangeable(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise Unchangeable

    create = update = delete = bulk_create = bulk_update = _update = _raise_unchangeable

    def append(self, events: Sequence["AuditEvent"]) -> None:
        """Writes events that are already linked to a chain."""
        if len(events) == 1:
            constant_writes.insert(events[0])
        else:
            models.QuerySet.bulk_create(self, events)

    def erase_request_context(self) -> int:
        """Erases IP address, device and request id, and the salt of their digest; returns the number of events."""
        request_id = Case(When(has_request_in_digest=True, then=Value("")), default=F("request_id"))
        return models.QuerySet.update(self, ip=None, user_agent="", request_id=request_id, origin_salt="")

    def remove_links(self, chain: int, up_to: int) -> int:
        """Deletes the oldest links of a chain, up to this position; returns how many."""
        events: models.QuerySet[AuditEvent] = models.QuerySet(self.model, using=self.db)
        return events.filter(chain=chain, position__lte=up_to).delete()[0]


class AuditEvent(models.Model):
    """Names users only by their ids, so that an event can outlive them."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    user_id = models.UUIDField(_("user"), null=True, blank=True)
    actor_id = models.UUIDField(_("actor"), null=True, blank=True)
    created_at = models.DateTimeField(_("time"), default=timezone.now)
    ip = models.GenericIPAddressField(_("IP address"), null=True, blank=True)
    user_agent = models.CharField(_("device"), max_length=256, blank=True, default="")
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="")
    data = models.JSONField(_("details"), default=dict)
    origin_salt = models.CharField(max_length=32, blank=True, help_text="Erased when the user is deleted.")
    origin_digest = models.CharField(
        max_length=HASH_LENGTH, help_text="Digest of the salt, IP address, device and request id."
    )
    has_request_in_digest = models.BooleanField(
        default=True, help_text="If false, the hash itself covers the request id, which is kept."
    )
    chain = models.PositiveSmallIntegerField(help_text="The number of the event's chain.")
    position = models.PositiveBigIntegerField(help_text="The position in its chain, from 1.")
    hash = models.CharField(max_length=HASH_LENGTH, help_text="HMAC of this event and the hash of the one before.")

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
    """The beginning and the end of a chain. The beginning moves when the oldest events are pruned."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    pruned = models.PositiveBigIntegerField(default=0, help_text="The position of its last pruned event.")
    pruned_hash = models.CharField(max_length=HASH_LENGTH, blank=True, default="")
    length = models.PositiveBigIntegerField(default=0, help_text="The position of its newest event.")
    head = models.CharField(max_length=HASH_LENGTH, blank=True, default="", help_text="The hash of its newest event.")
    hash = models.CharField(max_length=HASH_LENGTH, help_text="HMAC of this row.")

    def __str__(self) -> str:
        return f"chain {self.number}"

    def sealed(self) -> list[object]:
        """Returns the values that the hash covers."""
        return [self.number, self.pruned, self.pruned_hash, self.length, self.head]


class AuditRegistry(models.Model):
    """The single list of all chains, with the length of each at its last update (see audit/registry.py)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    chains = models.JSONField(
        default=dict, help_text="For the number of each chain, the position and the hash of an event in it."
    )
    hash = models.CharField(max_length=HASH_LENGTH, default="", help_text="HMAC of this row.")

    def __str__(self) -> str:
        return "the list of chains"

    def sealed(self) -> list[object]:
        """Returns the values that the hash covers."""
        return [self.chains]
