"""The formats that an import reads, and which columns of each become part of a user.

A column that a format does not know stops the import before it begins. Otherwise its values would be lost silently.
Each format lists the columns that the product always exports and the import drops (tokens, roles, pictures).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from accounts.transfer import readers
from accounts.transfer.records import PLAIN, Layout
from accounts.transfer.rows import COLUMNS, Row


@dataclass(frozen=True)
class Format:
    """The export of one product. Calling it turns a record into a row."""

    name: str
    reader: Callable[[Row], Row]
    reads: frozenset[str]
    drops: frozenset[str]
    layout: Layout = PLAIN
    nested: str = ""  # the key of an object in which some exports keep the columns
    ignored: frozenset[str] = frozenset()

    def __call__(self, record: Row) -> Row:
        return self.reader(self._without_ignored(record) if self.ignored else record)

    def unknown(self, record: Row) -> set[str]:
        """Returns the names that the format does not know and the operator did not ignore."""
        held = record.get(self.nested)
        names = held.keys() if isinstance(held, Mapping) else record.keys()
        return set(names) - self.reads - self.drops - self.ignored

    def _without_ignored(self, record: Row) -> Row:
        kept = {name: value for name, value in record.items() if name not in self.ignored}
        held = record.get(self.nested)
        if isinstance(held, Mapping):
            kept[self.nested] = {name: value for name, value in held.items() if name not in self.ignored}
        return kept


def _format(reader: Callable[[Row], Row], reads: str, drops: str, **more: Any) -> Format:
    name = reader.__name__.replace("_", "-")
    return Format(name, reader, frozenset(reads.split()), frozenset(drops.split()), **more)


_PROVIDERS = tuple(
    f"{provider}.{part}"
    for provider in ("google", "facebook", "twitter", "github")
    for part in ("rawId", "email", "displayName", "photoUrl")
)
# The CSV of firebase-tools (src/accountExporter.ts) has no header, and a comma at the end of each line. Older versions
# wrote neither `disabled` nor `customAttributes`.
_FIREBASE = Layout(
    columns=(
        *("localId", "email", "emailVerified", "passwordHash", "salt", "displayName", "photoUrl", *_PROVIDERS),
        *("createdAt", "lastSignedInAt", "phoneNumber", "disabled", "customAttributes", "end"),
    ),
    min_columns=26,
)

FORMATS = {
    one.name: one
    for one in (
        _format(readers.usermanager, " ".join(COLUMNS), "updated_at"),
        _format(
            readers.supabase,
            "id email encrypted_password email_confirmed_at confirmed_at banned_until deleted_at raw_user_meta_data "
            "created_at last_sign_in_at",
            "instance_id aud role invited_at confirmation_token confirmation_sent_at recovery_token recovery_sent_at "
            "email_change_token_new email_change_token_current email_change email_change_sent_at "
            "email_change_confirm_status raw_app_meta_data is_super_admin updated_at phone phone_confirmed_at "
            "phone_change phone_change_token phone_change_sent_at reauthentication_token reauthentication_sent_at "
            "is_sso_user is_anonymous",
        ),
        _format(
            readers.keycloak,
            "id email username firstName lastName enabled emailVerified createdTimestamp attributes credentials",
            "self origin totp disableableCredentialTypes requiredActions federatedIdentities federationLink realmRoles "
            "clientRoles clientConsents notBefore applicationRoles socialLinks groups access userProfileMetadata "
            "serviceAccountClientId",
        ),
        _format(
            readers.auth0,
            "email name email_verified blocked locale user_metadata created_at last_login passwordHash password_hash",
            "_id user_id username nickname given_name family_name picture identities app_metadata updated_at last_ip "
            "logins_count last_password_reset phone_number phone_verified multifactor password_set_date tenant "
            "connection _tmp_is_unique",
        ),
        _format(
            readers.django,
            "email first_name last_name is_active date_joined last_login password fields",
            "id username is_superuser is_staff groups user_permissions model pk",
            nested="fields",
        ),
        _format(
            readers.fastapi_users,
            "id email hashed_password is_active is_verified full_name name created_at",
            "is_superuser",
        ),
        _format(
            readers.firebase,
            "localId email emailVerified passwordHash salt displayName createdAt lastSignedInAt lastLoginAt "
            "phoneNumber disabled customAttributes",
            "photoUrl providerUserInfo end " + " ".join(_PROVIDERS),
            layout=_FIREBASE,
        ),
        _format(
            readers.wordpress,
            "user_email user_pass display_name user_registered",
            "ID user_login user_nicename user_url user_activation_key user_status roles",
            layout=Layout(email_column="user_email"),
        ),
    )
}
