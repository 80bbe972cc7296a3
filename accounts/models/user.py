"""A user: an account with an email address, a password and one role."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import permissions, search, validators
from accounts.email_addresses import ADDRESS_LENGTH, canonical_email
from accounts.hashing import hashers
from accounts.models import constant_writes
from accounts.models.identifiers import new_id
from accounts.models.role import Role


def languages() -> list[tuple[str, str]]:
    """Returns the languages that a user may choose. A migration names this function, so a new language needs none."""
    return list(settings.LANGUAGES)


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email_key=canonical_email(username or ""))

    def find_by_email(self, email: str) -> "User | None":
        """Returns the user of an address in any spelling. None if there is no such user, or the text is no address."""
        try:
            return self.select_related("role").filter(email_key=canonical_email(email)).first()
        except ValueError:
            return None

    def administrators(self) -> "models.QuerySet[User]":
        """Returns the users who may do everything now: active administrators with a confirmed address."""
        return self.filter(role__name=permissions.ADMIN, is_active=True, email_verified=True)


class SearchText(models.TextField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The text that a search reads. It is composed whenever a user is saved, also by a bulk insert."""

    def pre_save(self, user: models.Model, add: bool) -> str:
        assert isinstance(user, User)
        text = search.text_of(user.email, user.email_key, user.full_name)
        user.search_text = text
        return text


class User(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(_("email address"), max_length=ADDRESS_LENGTH, help_text=_("As the user writes it."))
    email_key = models.CharField(max_length=ADDRESS_LENGTH, unique=True, editable=False)
    search_text = SearchText(editable=False, default="", help_text="The text that a search reads; see accounts.search.")
    password = models.CharField(_("password"), max_length=255)
    full_name = models.CharField(_("full name"), max_length=validators.NAME_MAX_LENGTH, blank=True, default="")
    role = models.ForeignKey(
        Role, on_delete=models.PROTECT, related_name="users", verbose_name=_("role"), db_index=False
    )
    is_active = models.BooleanField(_("active"), default=True)
    suspended_until = models.DateTimeField(_("suspended until"), null=True, blank=True, editable=False)
    suspension_reason = models.CharField(
        max_length=validators.REASON_MAX_LENGTH, blank=True, default="", editable=False
    )
    invited_at = models.DateTimeField(_("invited"), null=True, blank=True, editable=False)
    invitation_ended_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was revoked, or a change ended all links of the user."
    )
    email_verified = models.BooleanField(_("address confirmed"), default=False)
    has_unproven_password = models.BooleanField(
        default=False,
        editable=False,
        help_text="The password was set at registration, and the address has not been confirmed since.",
    )
    mfa_enabled = models.BooleanField(
        _("second factor"),
        default=False,
        db_default=False,
        editable=False,
        help_text="Whether the user has a second factor. Changes in the transaction that adds or removes the factor.",
    )
    mfa_required_since = models.DateTimeField(
        null=True, editable=False, help_text="The first login while the role required a second factor; for the grace."
    )
    mfa_reset_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When an administrator reset the second factors: the next login needs the emailed link as well.",
    )
    locale = models.CharField(_("language"), max_length=5, blank=True, default="", choices=languages)
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    deletion_began_at = models.DateTimeField(
        null=True, editable=False, help_text="When the deletion of the user's data began; see accounts.deletion."
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    last_login_at = models.DateTimeField(_("last login"), null=True, blank=True, editable=False)
    last_login = None  # Django would write it a second time

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    #: The fields of a user in the API, in the order of its JSON. The role is shown by its name.
    API_FIELDS = (
        *("id", "email", "full_name", "role", "is_active", "email_verified", "mfa_enabled", "locale"),
        *("metadata", "created_at", "updated_at", "last_login_at"),
    )
    #: What an operator knows about a user beside that.
    OPERATOR_FIELDS = ("suspended_until", "suspension_reason", "invited_at", "invitation_ended_at")
    #: The fields of a user in exports: the user's own, and those of an operator, which `import_users` reads again.
    #: Second factors stay behind: they belong to this installation and its keys.
    EXPORT_FIELDS = (*(name for name in API_FIELDS if name != "mfa_enabled"), *OPERATOR_FIELDS)

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = (
            models.CheckConstraint(
                condition=Q(is_active=False) | Q(suspended_until__isnull=True, suspension_reason=""),
                name="user_active_is_not_suspended",
            ),
        )
        indexes = (
            # Few users have a suspension that ends, or an invitation. These indexes contain them alone.
            models.Index(
                fields=["suspended_until"], condition=Q(suspended_until__isnull=False), name="user_suspended_until"
            ),
            models.Index(fields=["invited_at", "id"], condition=Q(invited_at__isnull=False), name="user_invited"),
            models.Index(
                fields=["deletion_began_at"], condition=Q(deletion_began_at__isnull=False), name="user_deletion_began"
            ),
            # These give the lists by role, status and confirmation in their order, without a sort.
            models.Index(fields=["role", "created_at", "id"], name="user_of_role"),
            models.Index(fields=["created_at", "id"], condition=Q(is_active=False), name="user_suspended"),
            models.Index(fields=["created_at", "id"], condition=Q(email_verified=False), name="user_unverified"),
            models.Index(fields=["created_at", "id"], condition=Q(mfa_enabled=True), name="user_mfa"),
            models.Index(fields=["created_at", "id"], name="user_created"),
            models.Index(fields=["last_login_at", "id"], name="user_last_login"),
        )

    def __str__(self) -> str:
        return self.email

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Saves the user. Adds to `update_fields` the fields that depend on them.

        These are the key of the address, the search text, the time of the change, and `has_unproven_password`, which a
        confirmed address sets to false.
        """
        self.has_unproven_password = self.has_unproven_password and not self.email_verified
        if update_fields is not None:
            update_fields = {*update_fields, "updated_at"}
            if "email_verified" in update_fields:
                update_fields |= {"has_unproven_password"}
            if {"email", "full_name"} & update_fields:
                update_fields |= {"email_key", "search_text"}
        self.email_key = canonical_email(self.email)
        if update_fields is None or options:
            super().save(update_fields=update_fields, **options)
        else:
            constant_writes.update(self, update_fields)

    @staticmethod
    def is_email_conflict(error: IntegrityError) -> bool:
        """Returns whether the database rejected a second user with the same address. A query could come too late: the
        first user may have been deleted meanwhile."""
        return "email_key" in str(error).partition("\n")[0]  # on PostgreSQL, the next line quotes the values

    def set_password(self, raw_password: str | None) -> None:
        """Sets the hash on this object, and doesn't save it. None makes the password unusable."""
        self.password = make_password(None) if raw_password is None else hashers.make(raw_password)
        self._password = None

    def check_password(self, raw_password: str | None) -> bool:
        """Returns whether the password is right. If so, replaces an outdated hash in the database. Never call it in a
        transaction."""
        is_right, better = hashers.verify(raw_password or "", self.password)
        return self._replace_hash(raw_password or "", better) if better else is_right

    def _replace_hash(self, raw_password: str, better: str) -> bool:
        """Replaces the hash unless it has changed meanwhile. Returns whether the password is still right."""
        old, self.password = self.password, better
        if User.objects.filter(pk=self.pk, password=old).update(password=better):
            return True
        self.password = User.objects.filter(pk=self.pk).values_list("password", flat=True).first() or ""
        return hashers.verify(raw_password, self.password)[0]

    @property
    def permissions(self) -> list[str]:
        """Returns the permissions of the user now: `["*"]` for an administrator, who may do everything.

        UserManager's own permissions, and `*`, count only while the address is confirmed. Without that, a person who
        registered another person's address could use them.
        """
        held = [permissions.ALL] if self.role.is_admin else list(self.role.permissions)
        return held if self.email_verified else [name for name in held if not permissions.is_own(name)]

    @property
    def has_dormant_permissions(self) -> bool:
        """Returns whether the role has permissions that don't count until the address is confirmed."""
        return not self.email_verified and any(map(permissions.is_own, self.role.permissions))

    @property
    def is_staff(self) -> bool:
        """Returns whether the user has any permission of UserManager. Django's admin panel requires it."""
        return any(map(permissions.is_own, self.permissions))

    @property
    def is_uninvited(self) -> bool:
        """Returns whether the user has no password and their invitation has ended. They get no other link either."""
        return self.invitation_ended_at is not None and not self.has_usable_password()

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_active and self.holds([perm])

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return self.is_active and self.holds(perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff

    def holds(self, names: Iterable[str]) -> bool:
        """Returns whether the user has all these permissions. An administrator also has those of other applications."""
        held = self.permissions
        return permissions.ALL in held or set(names) <= set(held)

    def holds_permissions_of(self, role: Role) -> bool:
        """Returns whether the user has all permissions of the role, so that they may assign it or change its users."""
        return self.holds([permissions.ALL] if role.is_admin else role.permissions)

    def get_short_name(self) -> str:
        return self.full_name or self.email
