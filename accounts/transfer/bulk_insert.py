"""Inserts or updates a batch of users that were read from a file, in the transaction of the caller."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from django.contrib.auth.hashers import make_password
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import (
    audit,
    authorization,
    invitations,
    metadata,
    one_time_tokens,
    permissions,
    sessions,
    suspension,
    users,
)
from accounts.errors import AccountError, InvalidInput, NotFound
from accounts.models import AuditEvent, Role, User
from accounts.models.identifiers import id_at
from accounts.transfer import user_table
from accounts.transfer.reports import REJECTED, WARNING, Remark
from accounts.transfer.user_table import Values

UPDATABLE = ("full_name", "role", "is_active", "email_verified", "locale", "metadata")
COMPARED = (*UPDATABLE, "suspended_until", "suspension_reason", "password")

TAKEN_ID = _("Another user has this id.")
REUSED_ID = "id: it appears in audit events, so the new user could read the events of another user"
PRIVILEGED_ROLE = "role: this role holds permissions; --allow-privileged accepts it"
PRIVILEGED_USER = "the user's role holds permissions; --allow-privileged accepts the change"

METADATA_LEFT_OUT = "metadata: together with the user's present metadata, it exceeds 16 KiB; imported without it"

OnConflict = Literal["skip", "update", "fail"]


class Conflict(Exception):
    """A user already has this address or id, and `--on-conflict fail` ends the import."""

    def __init__(self, line: int) -> None:
        super().__init__(f"Line {line}: a user already has this address or id.")


class PrivilegesInvolved(Exception):
    """The user or the new role holds permissions, and the import lacks `--allow-privileged`; the message says which."""


@dataclass
class Tally:
    """Counts the results of the lines so far."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: int = 0

    def add(self, remarks: "Iterable[Remark]") -> None:
        """Counts the remarks of the report."""
        for remark in remarks:
            self.rejected += remark.kind == REJECTED
            self.warnings += remark.kind == WARNING

    def counts(self) -> dict[str, int]:
        """Returns the counts by name, without the warnings if there are none."""
        return {name: number for name, number in asdict(self).items() if number or name != "warnings"}


class Candidate(NamedTuple):
    """A valid row: the number of its line, the fields of its user, and warnings about fields that were left out."""

    line: int
    fields: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def keys(self) -> set[Any]:
        """The values that must be unique among users: the canonical address and the id."""
        fields = self.fields
        return {fields["email_key"], fields["id"]} if "id" in fields else {fields["email_key"]}

    @property
    def remarks(self) -> list[Remark]:
        """The warnings that the report gets once the user is imported."""
        return [Remark(self.line, reason, WARNING) for reason in self.warnings]


@dataclass
class BulkInsert:
    """The options of an import for its batches, and the remarks that its report gets."""

    on_conflict: OnConflict
    is_inviting: bool
    may_be_privileged: bool
    is_strict: bool
    remarks: list[Remark]

    def store(self, candidates: list[Candidate], tally: Tally) -> list[Candidate]:
        """Returns the candidates that became new users.

        Raises Conflict, and IntegrityError if another transaction took an address meanwhile.
        """
        if self.on_conflict == "update":
            authorization.lock_and_check(None)  # the first lock, as in use cases; no role can change meanwhile
        role_of = {role.name: role for role in Role.objects.all()}
        taken = find_taken_keys(candidates)
        fresh, conflicts = split_by_conflict(self._reject_unsafe(candidates, taken, role_of), taken)
        created = [_new_user(one.fields, role_of) for one in fresh]
        user_table.insert(created)
        tally.created += len(created)
        for one in fresh:
            self.remarks += one.remarks
        for one in conflicts:
            self._handle_conflict(one, role_of, tally)
        if self.is_inviting:
            self._invite(created)
        return fresh

    def _reject_unsafe(self, candidates: list[Candidate], taken: set[Any], role_of: dict[str, Role]) -> list[Candidate]:
        """Rejects new users who would get permissions or an id that appears in audit events, and returns the others.

        Existing users are checked when they are updated.
        """
        privileged = set() if self.may_be_privileged else {name for name in role_of if is_privileged(role_of[name])}
        used = find_ids_in_audit_events({one.fields["id"] for one in candidates if "id" in one.fields} - taken)
        kept = []
        for one in candidates:
            if one.fields.get("role") in privileged and not one.keys & taken:
                self.remarks.append(Remark(one.line, PRIVILEGED_ROLE))
            elif one.fields.get("id") in used and one.fields["email_key"] not in taken:
                self.remarks.append(Remark(one.line, REUSED_ID))
            else:
                kept.append(one)
        return kept

    def _handle_conflict(self, one: Candidate, role_of: dict[str, Role], tally: Tally) -> None:
        if self.on_conflict == "fail":
            raise Conflict(one.line)
        if self.on_conflict == "skip":
            tally.skipped += 1
            return
        try:
            warnings = self._update(one.fields, role_of)
            tally.updated += 1
            self.remarks += one._replace(warnings=(*one.warnings, *warnings)).remarks
        except AccountError as error:
            self.remarks.append(Remark(one.line, str(error.detail)))
        except PrivilegesInvolved as error:
            self.remarks.append(Remark(one.line, str(error)))

    def _update(self, fields: dict[str, Any], role_of: dict[str, Role]) -> tuple[str, ...]:
        """Returns warnings about fields that were left out.

        Raises AccountError, such as NotFound if another user has the id and no user has the address, and
        PrivilegesInvolved.
        """
        user = User.objects.find_by_email(fields["email"])
        if user is None:
            raise NotFound(TAKEN_ID)
        warnings: tuple[str, ...] = ()
        try:
            fields = _with_metadata(user, fields)
        except InvalidInput:
            if self.is_strict:
                raise
            fields = {name: value for name, value in fields.items() if name != "metadata"}
            warnings = (METADATA_LEFT_OUT,)
        if not self.may_be_privileged:
            _require_no_permissions(user, fields, role_of)
        _update(user, fields, role_of)
        return warnings

    def _invite(self, created: Iterable[Values]) -> None:
        for values in created:
            user = User(**values)
            user._state.adding = False  # otherwise save() would insert it again
            if user.is_active and not user.has_usable_password() and not user.is_uninvited:
                invitations.send(user, actor=None)


def find_taken_keys(candidates: list[Candidate]) -> set[Any]:
    """Returns those of the addresses and ids that users already have."""
    keys = [one.fields["email_key"] for one in candidates]
    ids = [one.fields["id"] for one in candidates if "id" in one.fields]
    return {
        *User.objects.filter(email_key__in=keys).values_list("email_key", flat=True),
        *User.objects.filter(pk__in=ids).values_list("pk", flat=True),
    }


def split_by_conflict(candidates: list[Candidate], taken: set[Any]) -> tuple[list[Candidate], list[Candidate]]:
    """Returns the new users, and the conflicts: their address or id belongs to a user or to an earlier line."""
    fresh: list[Candidate] = []
    conflicts: list[Candidate] = []
    seen = set(taken)
    for one in candidates:
        keys = one.keys
        if seen.isdisjoint(keys):
            fresh.append(one)
            seen |= keys
        else:
            conflicts.append(one)
    return fresh, conflicts


def _new_user(fields: dict[str, Any], role_of: dict[str, Role]) -> Values:
    """Generates a missing id from the time of creation, so that ids sort by age."""
    user = {"created_at": timezone.now(), "role": permissions.USER, **fields}
    user["role_id"] = role_of[user.pop("role")].pk
    if "id" not in user:
        user["id"] = id_at(user["created_at"])
    if not user.get("password"):
        user["password"] = make_password(None)
    return user


def is_privileged(role: Role) -> bool:
    """Returns whether a role needs --allow-privileged. The default role does not: every registration gets it."""
    return role.name != permissions.USER and (role.is_admin or bool(role.permissions))


def find_ids_in_audit_events(ids: set[Any]) -> set[Any]:
    """Returns those of the ids that audit events have as user or actor, such as the ids of deleted users."""
    if not ids:
        return set()
    return {
        *AuditEvent.objects.filter(user_id__in=ids).values_list("user_id", flat=True).distinct(),
        *AuditEvent.objects.filter(actor_id__in=ids).values_list("actor_id", flat=True).distinct(),
    }


def _with_metadata(user: User, fields: dict[str, Any]) -> dict[str, Any]:
    """Adds the user's metadata under the keys that the row does not name. Raises InvalidInput if it gets too large."""
    if "metadata" not in fields:
        return fields
    merged = {**user.metadata, **fields["metadata"]}
    metadata.validate(merged)
    return {**fields, "metadata": merged}


def _require_no_permissions(user: User, fields: dict[str, Any], role_of: dict[str, Role]) -> None:
    """Raises PrivilegesInvolved if the user holds permissions and would change, or would get a role that holds some."""
    role = role_of[fields.get("role", user.role.name)]
    if is_privileged(user.role) and _differs(user, fields):
        raise PrivilegesInvolved(PRIVILEGED_USER)
    if is_privileged(role) and role != user.role:
        raise PrivilegesInvolved(PRIVILEGED_ROLE)


def _differs(user: User, fields: dict[str, Any]) -> bool:
    """Returns whether an update would change any field of the user."""
    held = {name: getattr(user, name) for name in COMPARED} | {"role": user.role.name}
    return any(fields[name] != value for name, value in held.items() if name in fields)


def _update(user: User, fields: dict[str, Any], role_of: dict[str, Role]) -> None:
    """Changes the fields that the row names, with the use cases. Raises AccountError."""
    changes = {name: fields[name] for name in UPDATABLE if name in fields}
    if "role" in changes:
        changes["role"] = role_of[changes["role"]]
    if {"suspended_until", "suspension_reason"} & fields.keys():
        del changes["is_active"]
        suspension.end_if_expired(user)
        changed = {
            "reason": fields.get("suspension_reason", user.suspension_reason),
            "until": fields.get("suspended_until", user.suspended_until),
        }
        user = users.suspend(user, actor=None, **changed)
    user = users.update(user, actor=None, **changes)
    if fields.get("password", user.password) != user.password:
        _replace_password_hash(user, fields["password"])


def _replace_password_hash(user: User, encoded: str) -> None:
    """Sends no notification: the password has not changed, only its hash was imported."""
    user.password, user.has_unproven_password = encoded, False
    user.save(update_fields=["password", "has_unproven_password"])
    one_time_tokens.end_all_and_invitation(user)
    sessions.revoke_all(user, actor=None)
    audit.record("password:changed", user, actor=None)
