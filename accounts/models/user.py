"""A user: somebody with an address, a password and one role."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import hashers, names, roles, search
from accounts.addresses import ADDRESS_LENGTH, canonical_email
from accounts.models.identifiers import new_id
from accounts.models.role import Role


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email_key=canonical_email(username or ""))

    def with_address(self, address: str) -> "User | None":
        """The user of an address in any of its spellings, or None; also for text that is no address."""
        try:
            return self.select_related("role").filter(email_key=canonical_email(address)).first()
        except ValueError:
            return None

    def administrators(self) -> "models.QuerySet[User]":
        """Those who may do everything now: active, of the admin's role, with a confirmed address."""
        return self.filter(role__name=roles.ADMIN, is_active=True, email_verified=True)


class SearchText(models.TextField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """What a search looks at; composed whenever a user is stored, alone or with many."""

    def pre_save(self, user: models.Model, add: bool) -> str:
        assert isinstance(user, User)
        text = search.text_of(user.email, user.email_key, user.full_name)
        user.search_text = text
        return text


class User(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = models.EmailField(_("email address"), max_length=ADDRESS_LENGTH, help_text=_("As its owner writes it."))
    email_key = models.CharField(max_length=ADDRESS_LENGTH, unique=True, editable=False)
    search_text = SearchText(editable=False, default="", help_text="What a search looks at, see accounts.search.")
    password = models.CharField(_("password"), max_length=255)
    full_name = models.CharField(_("full name"), max_length=names.MAX_LENGTH, blank=True, default="")
    role = models.ForeignKey(
        Role, on_delete=models.PROTECT, related_name="users", verbose_name=_("role"), db_index=False
    )
    is_active = models.BooleanField(_("active"), default=True)
    suspended_until = models.DateTimeField(_("suspended until"), null=True, blank=True, editable=False)
    suspension_reason = models.CharField(max_length=names.REASON_LENGTH, blank=True, default="", editable=False)
    invited_at = models.DateTimeField(_("invited"), null=True, blank=True, editable=False)
    invitation_ended_at = models.DateTimeField(
        null=True, editable=False, help_text="Revoked, or overtaken by what ends all links of a user."
    )
    email_verified = models.BooleanField(_("address confirmed"), default=False)
    has_unproven_password = models.BooleanField(
        default=False,
        editable=False,
        help_text="The password came with a registration, and nobody has confirmed the address since.",
    )
    locale = models.CharField(
        _("language"), max_length=5, blank=True, default="", choices=[("en", "English"), ("es", "Español")]
    )
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    deletion_began_at = models.DateTimeField(
        null=True, editable=False, help_text="What they left is being deleted; see accounts.deletion."
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    last_login_at = models.DateTimeField(_("last login"), null=True, blank=True, editable=False)
    last_login = None  # Django would write it a second time

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

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
            # Few are suspended until some time, or were invited: what asks for them reads those alone.
            models.Index(
                fields=["suspended_until"], condition=Q(suspended_until__isnull=False), name="user_suspended_until"
            ),
            models.Index(fields=["invited_at", "id"], condition=Q(invited_at__isnull=False), name="user_invited"),
            models.Index(
                fields=["deletion_began_at"], condition=Q(deletion_began_at__isnull=False), name="user_deletion_began"
            ),
            # A list of those who have a role, or of the few who are suspended or unconfirmed, is read in its order.
            models.Index(fields=["role", "created_at", "id"], name="user_of_role"),
            models.Index(fields=["created_at", "id"], condition=Q(is_active=False), name="user_suspended"),
            models.Index(fields=["created_at", "id"], condition=Q(email_verified=False), name="user_unverified"),
            models.Index(fields=["created_at", "id"], name="user_created"),
            models.Index(fields=["last_login_at", "id"], name="user_last_login"),
        )

    def __str__(self) -> str:
        return self.email

    def save(self, *, update_fields: Iterable[str] | None = None, **options: Any) -> None:
        """Keeps in step with whatever is saved: the key of the address, the time of the change, and that a confirmed
        address proves the password."""
        self.has_unproven_password = self.has_unproven_password and not self.email_verified
        if update_fields is not None:
            update_fields = {*update_fields, "updated_at"}
            if "email_verified" in update_fields:
                update_fields |= {"has_unproven_password"}
            if {"email", "full_name"} & update_fields:
                update_fields |= {"email_key", "search_text"}
        self.email_key = canonical_email(self.email)
        super().save(update_fields=update_fields, **options)

    @staticmethod
    def is_address_taken(fault: IntegrityError) -> bool:
        """Whether the database refused a second user of one address; the first may be gone when one looks for them."""
        return "email_key" in str(fault).partition("\n")[0]  # on PostgreSQL the next line quotes what was given

    def set_password(self, raw_password: str | None) -> None:
        """Keeps the hash on this object, not in the database; None makes the password unusable."""
        self.password = make_password(None) if raw_password is None else hashers.make(raw_password)
        self._password = None

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is the right one; a hash of an older kind is replaced then. Never call it in a transaction."""
        is_right, better = hashers.verify(raw_password or "", self.password)
        return self._upgrade(raw_password or "", better) if better else is_right

    def _upgrade(self, raw_password: str, better: str) -> bool:
        """Whether it is still the right one after its hash was replaced, by this call or by one that was faster."""
        old, self.password = self.password, better
        if User.objects.filter(pk=self.pk, password=old).update(password=better):
            return True
        self.password = User.objects.filter(pk=self.pk).values_list("password", flat=True).first() or ""
        return hashers.verify(raw_password, self.password)[0]

    @property
    def permissions(self) -> list[str]:
        """What the user may do now: `["*"]` for an administrator, who may do everything.

        UserManager's own permissions count only while the address is confirmed: a stranger may have registered it.
        An administrator's are among them.
        """
        held = [roles.ALL] if self.role.is_admin else list(self.role.permissions)
        return held if self.email_verified else [name for name in held if not roles.is_own(name)]

    @property
    def has_dormant_permissions(self) -> bool:
        """Whether the role holds permissions that do not count until the address is confirmed."""
        return not self.email_verified and any(map(roles.is_own, self.role.permissions))

    @property
    def is_staff(self) -> bool:
        """Whether the role permits anything here at all; Django's admin lets nobody else in."""
        return any(map(roles.is_own, self.permissions))

    @property
    def is_uninvited(self) -> bool:
        """Whether they wait for a password with an invitation that has ended, and so are to get no other way in."""
        return self.invitation_ended_at is not None and not self.has_usable_password()

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return self.is_active and self.holds([perm])

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        return self.is_active and self.holds(perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff

    def holds(self, permissions: Iterable[str]) -> bool:
        """Whether the user may do all of them; an administrator's permissions are those of all applications too."""
        held = self.permissions
        return roles.ALL in held or set(permissions) <= set(held)

    def holds_role(self, role: Role) -> bool:
        """Whether they hold all that the role grants, and so may hand it out or change who has it."""
        return self.holds([roles.ALL] if role.is_admin else role.permissions)

    def get_short_name(self) -> str:
        return self.full_name or self.email
