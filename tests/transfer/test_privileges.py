"""manage.py import_users grants no permissions without an option, because a file may be untrusted."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts import login, users
from accounts.mfa import proofs
from accounts.models import AuditEvent, Role, Session, User
from accounts.transfer import hashes
from accounts.transfer.hashes import UnknownHash
from tests.conftest import PASSWORD
from tests.transfer.conftest import Importing, lines

BCRYPT = "$2b$04$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq"
ROLE_REJECTED = "role: this role holds permissions; --allow-privileged accepts it"
USER_REJECTED = "the user's role holds permissions; --allow-privileged accepts the change"


def rows() -> str:
    return lines(
        {"email": "eve@example.com", "role": "admin", "password_hash": BCRYPT},
        {"email": "mallory@example.com", "role": "biller"},
        {"email": "dora@example.com", "role": "reader"},
        {"email": "elsa@example.com", "role": "user"},
    )


@pytest.fixture
def app_roles(role: Callable[..., Role]) -> None:
    """Creates roles with and without an operator's own permission, which counts like those of UserManager."""
    role("biller", "billing.refund")
    role("reader")
    Role.objects.filter(name="user").update(permissions=["shop.buy"])


@pytest.mark.usefixtures("app_roles")
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_role_with_permissions_is_rejected(import_users: Importing, dry_run: bool) -> None:
    said = import_users(rows(), dry_run=dry_run)
    assert f"Line 1: {ROLE_REJECTED}\nLine 2: {ROLE_REJECTED}\n" in said
    assert "2 created, 0 updated, 0 skipped, 2 rejected" in said
    made = [] if dry_run else ["dora@example.com", "elsa@example.com"]
    assert sorted(User.objects.values_list("email", flat=True)) == made


@pytest.mark.usefixtures("app_roles")
def test_a_role_with_permissions_is_accepted_on_demand(import_users: Importing) -> None:
    assert "4 created, 0 updated, 0 skipped, 0 rejected" in import_users(rows(), allow_privileged=True)
    assert User.objects.get(email="eve@example.com").role.is_admin


def test_a_role_with_permissions_is_not_given_to_an_existing_user(import_users: Importing, ana: User) -> None:
    row = lines({"email": ana.email, "role": "admin", "full_name": "Another"})
    assert f"Line 1: {ROLE_REJECTED}" in import_users(row, on_conflict="update")
    ana.refresh_from_db()
    assert (ana.role.name, ana.full_name) == ("user", "Ana")


@pytest.mark.parametrize(
    "change",
    [
        {"password_hash": BCRYPT},
        {"is_active": False},
        {"is_active": False, "suspension_reason": "Spam"},
        {"role": "user"},
        {"email_verified": False},
        {"full_name": "Another"},
    ],
)
def test_a_user_who_holds_permissions_is_not_changed(
    import_users: Importing, root: User, carla: User, change: dict[str, Any]
) -> None:
    for user in (root, carla):
        login.open_session(user, proofs.PASSWORD)
    before = list(User.objects.order_by("pk").values()), Session.objects.active().count()
    text = lines({"email": root.email, **change}, {"email": carla.email, **change})
    said = import_users(text, on_conflict="update")
    assert f"Line 1: {USER_REJECTED}\nLine 2: {USER_REJECTED}\n" in said
    assert (list(User.objects.order_by("pk").values()), Session.objects.active().count()) == before
    assert "1 updated" in import_users(
        lines({"email": carla.email, **change}), on_conflict="update", allow_privileged=True
    )


def test_an_update_without_changes_may_name_a_user_who_holds_permissions(import_users: Importing, root: User) -> None:
    row = {"email": root.email, "role": "admin", "is_active": True, "full_name": root.full_name}
    assert "1 skipped, 0 rejected" in import_users(lines(row))
    assert "1 updated, 0 skipped, 0 rejected" in import_users(lines(row), on_conflict="update")


def test_an_import_with_updates_on_either_database(database: str, tmp_path: Path) -> None:
    """Runs outside any transaction of the tests, as an operator runs it."""
    root = User.objects.create(email="root@example.com", role=Role.objects.get(name="admin"), password="!")
    ana = User.objects.create(email="ana@example.com", role=Role.objects.get(name="user"), password="!")
    gone = User.objects.create(email="gone@example.com", role=ana.role, password="!")
    users.delete(gone, actor=None)
    file, said = tmp_path / "users.jsonl", StringIO()
    row = {"password_hash": BCRYPT}
    text = lines(
        {"email": root.email, **row}, {"email": ana.email, **row}, {"email": "heir@example.com", "id": str(gone.pk)}
    )
    file.write_text(text)
    _update(file, said)
    assert "2 lines were rejected" in said.getvalue()
    assert f"Line 1: {USER_REJECTED}" in said.getvalue()
    assert "Line 3: id: it appears in audit events" in said.getvalue()
    assert User.objects.get(pk=root.pk).password == "!"
    assert User.objects.get(pk=ana.pk).check_password(PASSWORD)
    assert not User.objects.filter(email="heir@example.com").exists()
    bruno = User.objects.create(email="bruno@example.com", role=ana.role, password="!")
    file.write_text(lines({"email": bruno.email, **row}))
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            users.set_role(bruno, root.role, actor=None)
            importing = threads.submit(_update, file, said)
            time.sleep(0.3)  # the import waits for this transaction; otherwise it would read the old role of bruno
        importing.result()
    assert f"Line 1: {USER_REJECTED}\nDone: 0 created, 0 updated" in said.getvalue()
    assert User.objects.get(pk=bruno.pk).password == "!"


def _update(file: Path, said: StringIO) -> None:
    """Imports the file, and closes the connection of its thread."""
    try:
        call_command("import_users", str(file), on_conflict="update", stdout=said, stderr=said)
    except CommandError as error:
        said.write(str(error))
    finally:
        connection.close()


@pytest.mark.parametrize("as_actor", [True, False])
@pytest.mark.parametrize("on_conflict", ["skip", "update", "fail"])
def test_no_new_user_gets_an_id_that_appears_in_audit_events(
    import_users: Importing, ana: User, root: User, on_conflict: str, as_actor: bool
) -> None:
    """A user can read the events of their id. With the id of a deleted user, they could read that user's events."""
    used = ana.pk
    users.delete(ana, actor=None)
    if as_actor:
        used = root.pk
        users.update(User.objects.create(email="b@example.com", role=ana.role), actor=root, full_name="B")
        User.objects.filter(pk=root.pk).delete()
    row = {"email": "heir@example.com", "id": str(used)}
    said = import_users(lines(row, {"email": "new@example.com", "id": str(uuid4())}), on_conflict=on_conflict)
    assert "Line 1: id: it appears in audit events" in said
    assert "1 created, 0 updated, 0 skipped, 1 rejected" in said
    assert not User.objects.filter(email="heir@example.com").exists()
    del row["id"]
    assert "1 created" in import_users(lines(row))


def test_an_existing_user_may_be_named_with_their_own_id(import_users: Importing, ana: User) -> None:
    """The id appears in audit events, and the line is accepted; the id never changes."""
    users.update(ana, actor=None, full_name="Ana G.")
    assert AuditEvent.objects.filter(user_id=ana.pk).exists()
    row = lines({"email": ana.email, "id": str(ana.pk), "full_name": "Ana"})
    assert "1 skipped, 0 rejected" in import_users(row)
    assert "1 updated, 0 skipped, 0 rejected" in import_users(row, on_conflict="update")
    other = UUID(int=7)
    assert "0 created, 0 updated, 1 skipped" in import_users(lines({"email": ana.email, "id": str(other)}))


def foreign_pbkdf2(digest: str, iterations: int, length: int) -> str:
    return f"foreign_pbkdf2${digest},{iterations}$YWJjZGVmZ2g=${'A' * (length * 4 // 3)}"


@pytest.mark.parametrize(
    "text",
    [
        foreign_pbkdf2("sha256", 5_000_000, 159),
        foreign_pbkdf2("sha256", 1_000_000, 96),
        foreign_pbkdf2("sha512", 1_000_001, 30),
        foreign_pbkdf2("sha1", 600_000, 78),
        "$pbkdf2-sha256$2000001$aK3VGuMcQygFwJhTinFuDQ$UHUV4W.5fqWWN1EMHR71pfNay965BfVC.jiLKKBeypc",
        "pbkdf2_sha256$2000001$salt$aGFzaA==",
        "foreign_scrypt$131072,8,16$c2FsdA==$aGFzaA==",
        "foreign_scrypt$131072,8,2$c2FsdA==$aGFzaA==",
        "scrypt$131072$salt$8$16$aGFzaA==",
        "$scrypt$ln=17,r=8,p=2$c2FsdA$aGFzaA==",
        "$argon2id$v=19$m=262144,t=4,p=1$c2FsdHNhbHQ$YWJjZGVmZ2hpamts",
        "$argon2id$v=19$m=1024,t=769,p=1$c2FsdHNhbHQ$YWJjZGVmZ2hpamts",
        "$2b$15$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
        "bcrypt_sha256$$2b$15$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
    ],
)
def test_a_hash_that_takes_more_than_a_second_is_rejected(text: str) -> None:
    with pytest.raises(UnknownHash, match="too long to check"):
        hashes.normalize(text)


@pytest.mark.parametrize(
    "text",
    [
        foreign_pbkdf2("sha256", 1_000_000, 63),
        foreign_pbkdf2("sha512", 210_000, 63),
        foreign_pbkdf2("sha1", 27_500, 63),
        "pbkdf2_sha256$1500000$salt$aGFzaA==",
        "foreign_scrypt$131072,8,1$c2FsdA==$aGFzaA==",
        "foreign_scrypt$8192,8,10$c2FsdA==$aGFzaA==",
        "$argon2id$v=19$m=262144,t=3,p=4$c2FsdHNhbHQ$YWJjZGVmZ2hpamts",
        "$2b$14$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
    ],
)
def test_recommended_costs_are_accepted(text: str) -> None:
    assert hashes.normalize(text)


def test_a_cost_that_the_operator_chose_is_accepted(settings: Any) -> None:
    settings.BCRYPT_ROUNDS = 16
    assert hashes.normalize("$2b$16$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq")
