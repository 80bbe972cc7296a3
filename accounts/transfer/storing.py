"""Stores a batch of users that were read from a file, in the transaction of the caller."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from django.contrib.auth.hashers import make_password
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import audit, authority, invitations, metadata, roles, sessions, suspension, tokens, users
from accounts.errors import AccountError, InvalidInput, NotFound
from accounts.models import AuditEvent, Role, User
from accounts.models.identifiers import id_of
from accounts.transfer.reports import REJECTED, WARNING, Remark

UPDATABLE = ("full_name", "role", "is_active", "email_verified", "locale", "metadata")
CHANGEABLE = (*UPDATABLE, "suspended_until", "suspension_reason", "password")

TAKEN_ID = _("Another user has this id.")
SPENT_ID = "id: audit events name it, so a new user would inherit those of somebody else"
PRIVILEGED_ROLE = "role: it holds permissions; --allow-privileged accepts it"
PRIVILEGED_USER = "the user's role holds permissions; --allow-privileged accepts changes to them"

METADATA_LEFT_OUT = "metadata: together with what the user has it is over 16 KiB; imported without it"

OnConflict = Literal["skip", "update", "fail"]


class Conflict(Exception):
    """There is a user with this address or id already, and that was to end the import."""

    def __init__(self, line: int) -> None:
        super().__init__(f"Line {line}: there is a user with this address or id already.")


class Privileged(Exception):
    """The user holds permissions, or would, and the import was not told to accept that; the message says which."""


@dataclass
class Tally:
    """What became of the lines so far."""

    created: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    warnings: int = 0

    def add(self, remarks: "Iterable[Remark]") -> None:
        """Counts what the report says."""
        for remark in remarks:
            self.rejected += remark.kind == REJECTED
            self.warnings += remark.kind == WARNING

    def counts(self) -> dict[str, int]:
        """By name; most imports have no warnings and do not mention them."""
        return {name: number for name, number in asdict(self).items() if number or name != "warnings"}


class Candidate(NamedTuple):
    """A row that can be taken: the number of its line, the fields of its user, and why some are missing."""

    line: int
    fields: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def keys(self) -> set[Any]:
        """What it must share with no other user."""
        return {self.fields["email_key"], self.fields.get("id")} - {None}

    @property
    def remarks(self) -> list[Remark]:
        """What the report says once the user is imported."""
        return [Remark(self.line, reason, WARNING) for reason in self.warnings]


@dataclass
class Storage:
    """Where a batch goes, what happens to those who are there already, and what the report is to say."""

    on_conflict: OnConflict
    is_inviting: bool
    may_be_privileged: bool
    is_strict: bool
    remarks: list[Remark]

    def store(self, candidates: list[Candidate], tally: Tally) -> list[Candidate]:
        """Those of whom users were made. Raises Conflict; IntegrityError when somebody took an address meanwhile."""
        if self.on_conflict == "update":
            authority.check(None)  # before anything else is locked, as use cases do; nobody is promoted meanwhile
        role_of = {role.name: role for role in Role.objects.all()}
        taken = taken_keys(candidates)
        fresh, conflicts = split(self._without_refused(candidates, taken, role_of), taken)
        created = [_new_user(one.fields, role_of) for one in fresh]
        insert(created)
        tally.created += len(created)
        for one in fresh:
            self.remarks += one.remarks
        for one in conflicts:
            self._meet(one, role_of, tally)
        if self.is_inviting:
            self._invite(created)
        return fresh

    def _without_refused(
        self, candidates: list[Candidate], taken: set[Any], role_of: dict[str, Role]
    ) -> list[Candidate]:
        """Rejects those who would be new and may not be; who is there already is judged when they are updated."""
        privileged = set() if self.may_be_privileged else {name for name in role_of if is_privileged(role_of[name])}
        spent = spent_ids({one.fields["id"] for one in candidates if "id" in one.fields} - taken)
        kept = []
        for one in candidates:
            if one.fields.get("role") in privileged and not one.keys & taken:
                self.remarks.append(Remark(one.line, PRIVILEGED_ROLE))
            elif one.fields.get("id") in spent and one.fields["email_key"] not in taken:
                self.remarks.append(Remark(one.line, SPENT_ID))
            else:
                kept.append(one)
        return kept

    def _meet(self, one: Candidate, role_of: dict[str, Role], tally: Tally) -> None:
        if self.on_conflict == "fail":
            raise Conflict(one.line)
        if self.on_conflict == "skip":
            tally.skipped += 1
            return
        try:
            warnings = self._update(one.fields, role_of)
            tally.updated += 1
            self.remarks += one._replace(warnings=(*one.warnings, *warnings)).remarks
        except AccountError as refusal:
            self.remarks.append(Remark(one.line, str(refusal.detail)))
        except Privileged as refusal:
            self.remarks.append(Remark(one.line, str(refusal)))

    def _update(self, fields: dict[str, Any], role_of: dict[str, Role]) -> tuple[str, ...]:
        """Returns why something was left out. Raises AccountError, such as NotFound when the id is taken and the
        address is not, and Privileged."""
        user = User.objects.with_address(fields["email"])
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
            _check_rights(user, fields, role_of)
        _update(user, fields, role_of)
        return warnings

    def _invite(self, created: Iterable[User]) -> None:
        for user in created:
            if user.is_active and not user.has_usable_password() and not user.is_uninvited:
                invitations.owe(user, actor=None)


def taken_keys(candidates: list[Candidate]) -> set[Any]:
    """Those of their addresses and ids that users have."""
    keys = [one.fields["email_key"] for one in candidates]
    ids = [one.fields["id"] for one in candidates if "id" in one.fields]
    return {
        *User.objects.filter(email_key__in=keys).values_list("email_key", flat=True),
        *User.objects.filter(pk__in=ids).values_list("pk", flat=True),
    }


def split(candidates: list[Candidate], taken: set[Any]) -> tuple[list[Candidate], list[Candidate]]:
    """Those who are new, and those whose address or id is taken, if only by somebody new of an earlier line."""
    fresh: list[Candidate] = []
    conflicts: list[Candidate] = []
    seen = set(taken)
    for one in candidates:
        if one.keys & seen:
            conflicts.append(one)
        else:
            fresh.append(one)
            seen |= one.keys
    return fresh, conflicts


def _new_user(fields: dict[str, Any], role_of: dict[str, Role]) -> User:
    """Without an id it gets one of the time of its creation, so that lists by age stay lists by id."""
    created_at = fields.get("created_at") or timezone.now()
    made = {"id": id_of(created_at), "created_at": created_at, "password": "", **fields}
    made["password"] = made["password"] or make_password(None)
    return User(**{**made, "role": role_of[fields.get("role", roles.USER)]})


def insert(users: list[User]) -> None:
    """As bulk_create() does, which takes three times as long: it composes a statement for each 70 rows."""
    database = connections[DEFAULT_DB_ALIAS]  # not the proxy, which looks it up again for each value
    fields = User._meta.concrete_fields
    columns = ", ".join(database.ops.quote_name(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {User._meta.db_table} ({columns}) VALUES ({marks})"  # noqa: S608 - names of our own

    def stored(field: "Field[Any, Any]", user: User) -> Any:
        value = field.pre_save(user, True)
        return None if value is None else field.get_db_prep_save(value, database)

    rows = [[stored(field, user) for field in fields] for user in users]
    with database.cursor() as cursor:
        cursor.executemany(statement, rows)
    for user in users:
        user._state.adding = False  # or a later save() would insert them again


def is_privileged(role: Role) -> bool:
    """Whether a role needs --allow-privileged. The default role does not: registration hands it out to everybody."""
    return role.name != roles.USER and (role.is_admin or bool(role.permissions))


def spent_ids(ids: set[Any]) -> set[Any]:
    """Those that audit events name, as what a deleted user did or suffered."""
    if not ids:
        return set()
    return {
        *AuditEvent.objects.filter(user_id__in=ids).values_list("user_id", flat=True).distinct(),
        *AuditEvent.objects.filter(actor_id__in=ids).values_list("actor_id", flat=True).distinct(),
    }


def _with_metadata(user: User, fields: dict[str, Any]) -> dict[str, Any]:
    """Keeps the keys of the metadata that the row does not name. Raises InvalidInput when there are too many."""
    if "metadata" not in fields:
        return fields
    merged = {**user.metadata, **fields["metadata"]}
    metadata.check(merged)
    return {**fields, "metadata": merged}


def _check_rights(user: User, fields: dict[str, Any], role_of: dict[str, Role]) -> None:
    """Raises Privileged for a change to a user who holds permissions, or would hold some afterwards."""
    role = role_of[fields.get("role", user.role.name)]
    if is_privileged(user.role) and _differs(user, fields):
        raise Privileged(PRIVILEGED_USER)
    if is_privileged(role) and role != user.role:
        raise Privileged(PRIVILEGED_ROLE)


def _differs(user: User, fields: dict[str, Any]) -> bool:
    """Whether an update would change anything of the user."""
    held = {name: getattr(user, name) for name in CHANGEABLE} | {"role": user.role.name}
    return any(fields[name] != value for name, value in held.items() if name in fields)


def _update(user: User, fields: dict[str, Any], role_of: dict[str, Role]) -> None:
    """Changes what the row names. Raises AccountError."""
    changes = {name: fields[name] for name in UPDATABLE if name in fields}
    if "role" in changes:
        changes["role"] = role_of[changes["role"]]
    if {"suspended_until", "suspension_reason"} & fields.keys():
        del changes["is_active"]
        suspension.end_if_over(user)
        how = {
            "reason": fields.get("suspension_reason", user.suspension_reason),
            "until": fields.get("suspended_until", user.suspended_until),
        }
        user = users.suspend(user, actor=None, **how)
    user = users.update(user, actor=None, **changes)
    if fields.get("password", user.password) != user.password:
        _replace_hash(user, fields["password"])


def _replace_hash(user: User, encoded: str) -> None:
    """Nobody is mailed: their password became no other, it moved here from another system."""
    user.password, user.has_unproven_password = encoded, False
    user.save(update_fields=["password", "has_unproven_password"])
    tokens.end_all(user)
    sessions.revoke_all(user, actor=None)
    audit.record("password:changed", user, actor=None)
