"""What people do over the API, and the events that it leaves in the audit trail."""

from typing import Any, NamedTuple

from tests.conftest import OTHER_PASSWORD, PASSWORD


class Deed(NamedTuple):
    """A request, who sends it (nobody without a token), and the events that it leaves: kind, subject, actor."""

    sender: str
    verb: str
    path: str
    body: dict[str, Any]
    events: list[tuple[str, str, str]]


ANA = "ana@example.com"


WEAK = {"current_password": OTHER_PASSWORD}


DEEDS = {
    "register": Deed("", "post", "auth/register/", {"email": "dora@example.com", "password": PASSWORD}, [
        ("user:registered", "dora", "dora"),
    ]),
    "log in": Deed("", "post", "auth/login/", {"email": ANA, "password": PASSWORD}, [("session:opened", "ana", "ana")]),
    "fail to": Deed("", "post", "auth/login/", {"email": ANA, "password": "x"}, [("login:failed", "ana", "")]),
    "fail as nobody": Deed("", "post", "auth/login/", {"email": "x@example.com", "password": "x"}, [
        ("login:failed", "", ""),
    ]),
    "log out": Deed("ana", "post", "auth/logout/", {}, [("session:closed", "ana", "ana")]),
    "log out everywhere": Deed("ana", "post", "auth/logout/all/", {}, [("session:all_revoked", "ana", "ana")]),
    "change password": Deed("ana", "post", "auth/password/change/",
        {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}, [("password:changed", "ana", "ana")]),
    "guess password": Deed("ana", "post", "auth/password/change/", {**WEAK, "new_password": OTHER_PASSWORD}, [
        ("password:confirmation_failed", "ana", "ana"),
    ]),
    "ask for another address": Deed("ana", "post", "auth/email/change/",
        {"new_email": "ana@new.example", "current_password": PASSWORD}, [("email:change_requested", "ana", "ana")]),
    "change own name": Deed("ana", "patch", "users/me/", {"full_name": "Ana G."}, [("user:changed", "ana", "ana")]),
    "take one's data": Deed("ana", "get", "users/me/export/", {}, [("user:exported", "ana", "ana")]),
    "end own sessions": Deed("ana", "delete", "users/me/sessions/", {}, [("session:all_revoked", "ana", "ana")]),
    "create": Deed("root", "post", "users/", {"email": "dora@example.com", "password": PASSWORD}, [
        ("user:created", "dora", "root"),
    ]),
    "invite": Deed("root", "post", "users/", {"email": "dora@example.com"}, [
        ("user:created", "dora", "root"), ("user:invited", "dora", "root"),
    ]),
    "change": Deed("root", "patch", "users/{ana}/", {"full_name": "Ana G."}, [("user:changed", "ana", "root")]),
    "give a role": Deed("root", "patch", "users/{ana}/", {"role": "admin"}, [("user:role_changed", "ana", "root")]),
    "move": Deed("root", "patch", "users/{ana}/", {"email": "ana@new.example"}, [("email:changed", "ana", "root")]),
    "suspend": Deed("root", "post", "users/{ana}/suspend/", {}, [
        ("user:suspended", "ana", "root"), ("session:all_revoked", "ana", "root"),
    ]),
    "activate": Deed("root", "post", "users/{eva}/activate/", {}, [("user:activated", "eva", "root")]),
    "unlock": Deed("root", "post", "users/{ana}/unlock/", {}, [("user:unlocked", "ana", "root")]),
    "reset password": Deed("root", "post", "users/{ana}/password-reset/", {}, [
        ("password:reset_requested", "ana", "root"),
    ]),
    "invite again": Deed("root", "post", "users/{ida}/invite/", {}, [("user:invited", "ida", "root")]),
    "revoke invitation": Deed("root", "delete", "users/{ida}/invite/", {}, [
        ("user:invitation_revoked", "ida", "root"),
    ]),
    "sign out": Deed("root", "delete", "users/{ana}/sessions/", {}, [("session:all_revoked", "ana", "root")]),
    "delete": Deed("root", "delete", "users/{eva}/", {}, [("user:deleted", "eva", "root")]),
    "make a role": Deed("root", "post", "roles/", {"name": "new"}, [("role:created", "", "root")]),
    "change a role": Deed("root", "patch", "roles/spare/", {"description": "x"}, [("role:changed", "", "root")]),
    "remove a role": Deed("root", "delete", "roles/spare/", {}, [("role:deleted", "", "root")]),
}  # fmt: skip
