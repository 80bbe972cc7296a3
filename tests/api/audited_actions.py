"""The actions of the API, each with the audit events that it records."""

from typing import Any, NamedTuple

from tests.conftest import OTHER_PASSWORD, PASSWORD


class Action(NamedTuple):
    """A request, its sender (empty: a client without a token), and the events it records: kind, subject, actor."""

    sender: str
    verb: str
    path: str
    body: dict[str, Any]
    events: list[tuple[str, str, str]]


ANA = "ana@example.com"


WEAK = {"current_password": OTHER_PASSWORD}


AUDITED_ACTIONS = {
    "register": Action("", "post", "auth/register/", {"email": "dora@example.com", "password": PASSWORD}, [
        ("user:registered", "dora", "dora"),
    ]),
    "log in": Action("", "post", "auth/login/", {"email": ANA, "password": PASSWORD}, [
        ("session:opened", "ana", "ana"),
    ]),
    "fail to": Action("", "post", "auth/login/", {"email": ANA, "password": "x"}, [("login:failed", "ana", "")]),
    "fail as nobody": Action("", "post", "auth/login/", {"email": "x@example.com", "password": "x"}, [
        ("login:failed", "", ""),
    ]),
    "log out": Action("ana", "post", "auth/logout/", {}, [("session:closed", "ana", "ana")]),
    "log out everywhere": Action("ana", "post", "auth/logout/all/", {}, [("session:all_revoked", "ana", "ana")]),
    "change password": Action("ana", "post", "auth/password/change/",
        {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}, [("password:changed", "ana", "ana")]),
    "guess password": Action("ana", "post", "auth/password/change/", {**WEAK, "new_password": OTHER_PASSWORD}, [
        ("password:confirmation_failed", "ana", "ana"),
    ]),
    "ask for another address": Action("ana", "post", "auth/email/change/",
        {"new_email": "ana@new.example", "current_password": PASSWORD}, [("email:change_requested", "ana", "ana")]),
    "change own name": Action("ana", "patch", "users/me/", {"full_name": "Ana G."}, [("user:changed", "ana", "ana")]),
    "take one's data": Action("ana", "get", "users/me/export/", {}, [("user:exported", "ana", "ana")]),
    "end own sessions": Action("ana", "delete", "users/me/sessions/", {}, [("session:all_revoked", "ana", "ana")]),
    "create": Action("root", "post", "users/", {"email": "dora@example.com", "password": PASSWORD}, [
        ("user:created", "dora", "root"),
    ]),
    "invite": Action("root", "post", "users/", {"email": "dora@example.com"}, [
        ("user:created", "dora", "root"), ("user:invited", "dora", "root"),
    ]),
    "change": Action("root", "patch", "users/{ana}/", {"full_name": "Ana G."}, [("user:changed", "ana", "root")]),
    "give a role": Action("root", "patch", "users/{ana}/", {"role": "admin"}, [("user:role_changed", "ana", "root")]),
    "move": Action("root", "patch", "users/{ana}/", {"email": "ana@new.example"}, [("email:changed", "ana", "root")]),
    "suspend": Action("root", "post", "users/{ana}/suspend/", {}, [
        ("user:suspended", "ana", "root"), ("session:all_revoked", "ana", "root"),
    ]),
    "activate": Action("root", "post", "users/{eva}/activate/", {}, [("user:activated", "eva", "root")]),
    "unlock": Action("root", "post", "users/{ana}/unlock/", {}, [("user:unlocked", "ana", "root")]),
    "reset password": Action("root", "post", "users/{ana}/password-reset/", {}, [
        ("password:reset_requested", "ana", "root"),
    ]),
    "invite again": Action("root", "post", "users/{ida}/invite/", {}, [("user:invited", "ida", "root")]),
    "revoke invitation": Action("root", "delete", "users/{ida}/invite/", {}, [
        ("user:invitation_revoked", "ida", "root"),
    ]),
    "sign out": Action("root", "delete", "users/{ana}/sessions/", {}, [("session:all_revoked", "ana", "root")]),
    "delete": Action("root", "delete", "users/{eva}/", {}, [("user:deleted", "eva", "root")]),
    "make a role": Action("root", "post", "roles/", {"name": "new"}, [("role:created", "", "root")]),
    "change a role": Action("root", "patch", "roles/spare/", {"description": "x"}, [("role:changed", "", "root")]),
    "remove a role": Action("root", "delete", "roles/spare/", {}, [("role:deleted", "", "root")]),
}  # fmt: skip
