"""After a user is deleted and `prune` has run, the files of the database contain nothing about that user."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.test import Client
from pytest_django import Settings

from accounts import login, one_time_tokens, passwords, sessions, users
from accounts.mfa import proofs
from accounts.models import (
    AuditChain,
    AuditEvent,
    OneTimeToken,
    Passkey,
    PendingLogin,
    RecoveryCode,
    Role,
    Session,
    TotpSecret,
    User,
)
from accounts.models.identifiers import new_id
from accounts.one_time_tokens import Purpose
from notifications import outbox
from notifications.models import OutboxMail
from notifications.sending import delivery
from tests.usermanager.processes import clean_environment, create_tables, free_port, manage, running
from tests.whole.mail_server import MailServer, running_mail_server

PASSWORD, OTHER_PASSWORD = "correct horse battery staple", "staple battery horse correct"
ADDRESSES = ("quetzalli@example.com", "quetzalli.moved@example.com", "quetzalli.never@example.com")
TRACES = [b"quetzalli", b"Xochiquetzal", b"Netscape-Quetzal"]  # in any of the addresses, the name, the device
AGENT = "Netscape-Quetzal/4"
NOT_EXPORTED: dict[type[Model], set[str]] = {
    User: {"password", "email_key", "search_text", "has_unproven_password", "deletion_began_at"},
    # How its refresh token is checked, which factor's removal ends it; `stepped_up_at` is shown as authenticated_at.
    Session: {"user", "generation", "rotations", "last_factor", "stepped_up_at"},
    OneTimeToken: {"user", "digest"},
    AuditEvent: {"origin_salt", "origin_digest", "has_request_in_digest", "chain", "position", "hash"},
    OutboxMail: {"user", "email_key", "language", "lease_until"},  # as fallback_language
}
ROOT = "four quiet admins nodding"


class Product:
    def __init__(self, url: str) -> None:
        self.url, self.agent = url, AGENT

    def ask(self, status: int, method: str, path: str, access: str = "", **body: Any) -> Any:
        headers = {"User-Agent": self.agent, "X-Request-ID": self.agent.replace("/", "-").replace(" ", "-")}
        headers |= {"Authorization": f"Bearer {access}"} if access else {}
        answer = requests.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=20)
        assert answer.status_code == status, (path, answer.text)
        return answer.json() if answer.content else None


@contextmanager
def served(folder: Path, office: MailServer) -> Iterator[Product]:
    port = free_port()
    create_tables(folder)
    environment = clean_environment(
        DATA_DIR=str(folder),
        PORT=str(port),
        BCRYPT_ROUNDS="4",
        LOG_LEVEL="error",
        ADMIN_PASSWORD=ROOT,
        EMAIL_URL=f"smtp://127.0.0.1:{office.port}",
    )
    with running(["manage.py", "serve"], environment, "Ctrl-C ends it"):
        yield Product(f"http://localhost:{port}")


def use_the_product(product: Product, office: MailServer) -> None:
    """Uses the product as a user who leaves traces in every table."""
    first, second, never = ADDRESSES
    product.ask(201, "POST", "auth/register", email=first, password=PASSWORD, full_name="Xochiquetzal")
    product.ask(204, "POST", "auth/email/verify", token=office.token_to(first, "verify-email"))
    product.ask(401, "POST", "auth/login", email=first, password=OTHER_PASSWORD)
    product.ask(202, "POST", "auth/password/reset", email=first)
    token = office.token_to(first, "reset-password")
    product.ask(204, "POST", "auth/password/reset/confirm", token=token, new_password=OTHER_PASSWORD)
    access = product.ask(200, "POST", "auth/login", email=first, password=OTHER_PASSWORD)["access"]
    move = {"new_email": second, "current_password": OTHER_PASSWORD}
    product.ask(202, "POST", "auth/email/change", access, **move)
    product.ask(204, "POST", "auth/email/change/confirm", token=office.token_to(second, "change-email"))
    product.ask(202, "POST", "auth/email/change", access, **{**move, "new_email": never})
    product.ask(400, "POST", "auth/register", email=second, password=PASSWORD, full_name="Xochiquetzal")
    product.ask(202, "POST", "auth/email/verify/resend", email=second)
    office.mail_to(never)


def be_managed_by_root(product: Product) -> str:
    """Root suspends and activates the user, who then logs in. Returns the new access token."""
    product.agent = "roots own"
    root = product.ask(200, "POST", "auth/login", email="admin@example.com", password=ROOT)["access"]
    [user] = product.ask(200, "GET", "users?search=quetzalli.moved", root)["results"]
    product.ask(200, "PATCH", f"users/{user['id']}", root, metadata={"note": "Xochiquetzal pays"})
    product.ask(200, "POST", f"users/{user['id']}/unlock", root)
    product.ask(200, "POST", f"users/{user['id']}/suspend", root, reason="Xochiquetzal asked for it")
    product.ask(200, "POST", f"users/{user['id']}/activate", root)
    product.agent = AGENT
    signed_in = product.ask(200, "POST", "auth/login", email=user["email"], password=OTHER_PASSWORD)
    return str(signed_in["access"])


def be_deleted_in_the_panel(product: Product) -> None:
    """Creates another user of that name. Root suspends and deletes that user in the panel."""
    user = product.ask(201, "POST", "auth/register", email="quetzalli.b@example.com", password=PASSWORD)
    with requests.Session() as browser:
        submit(browser, f"{product.url}/admin/login/?next=/admin/", username="admin@example.com", password=ROOT)
        person = f"{product.url}/admin/accounts/user/{user['id']}"
        submit(browser, f"{person}/change/", f"{person}/do/suspend/", reason="Xochiquetzal asked for it")
        assert "Suspended: Xochiquetzal asked for it" in browser.get(f"{person}/change/", timeout=20).text
        submit(browser, f"{person}/delete/", post="yes")
        assert browser.get(f"{person}/change/", timeout=20, allow_redirects=False).status_code == 302


def submit(browser: requests.Session, page: str, action: str = "", **fields: str) -> None:
    """Fills in the form of a page and sends it, as a browser does."""
    [token, *_same] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(page, timeout=20).text)
    answer = browser.post(action or page, {"csrfmiddlewaretoken": token, **fields}, timeout=20)
    assert answer.status_code == 200, answer.text


def traces(folder: Path) -> list[tuple[str, bytes]]:
    files = sorted(folder.glob("usermanager.sqlite3*"))
    assert files
    return [(file.name, trace) for file in files for trace in TRACES if trace in file.read_bytes()]


@pytest.mark.process
def test_the_files_contain_nothing_about_a_deleted_user(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    with running_mail_server() as office, served(folder, office) as product:
        use_the_product(product, office)
        access = be_managed_by_root(product)
        assert traces(folder)
        product.ask(204, "DELETE", "users/me", access, current_password=OTHER_PASSWORD)
        be_deleted_in_the_panel(product)
        assert manage("prune", DATA_DIR=str(folder)).returncode == 0
        assert traces(folder) == []


@pytest.mark.django_db
def test_a_deleted_user_of_the_panel_leaves_rows_only_in_the_audit_trail(
    person: Callable[..., User], role: Callable[..., Role]
) -> None:
    role("support", "users.view")
    before = rows()
    dora = person("dora", role="support")
    browser = Client()
    browser.post("/admin/login/", {"username": dora.email, "password": PASSWORD})
    assert browser.get("/admin/").status_code == 200
    assert rows() != before
    users.delete(dora, actor=None)
    assert rows() == before


def rows() -> dict[str, int]:
    """Returns the number of rows of each table."""
    kept = {AuditEvent, AuditChain}
    return {model.__name__: model._base_manager.count() for model in apps.get_models() if model not in kept}


def test_the_export_shows_every_table_that_points_at_a_user() -> None:
    """A new field must also be added to personal_data.export(). Django's own log is not used. The export has the
    number of recovery codes, and nothing of a pending login, which lasts five minutes."""
    pointing = {field.related_model for field in User._meta.get_fields(include_hidden=True) if field.one_to_many}
    factors = {TotpSecret, Passkey, RecoveryCode}
    assert pointing == {Session, OneTimeToken, OutboxMail, LogEntry, PendingLogin, *factors}


@pytest.mark.django_db
def test_the_export_shows_every_column_except_secrets_and_computed_ones(
    ana: User, client_of: Callable[[User], Any]
) -> None:
    passwords.request_reset(ana.email)
    one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    exported = client_of(ana).get("/api/v1/users/me/export/").json()
    records = {User: exported["user"]} | {
        model: exported[part][0]
        for model, part in (
            (Session, "sessions"),
            (OneTimeToken, "one_time_tokens"),
            (AuditEvent, "audit"),
            (OutboxMail, "mails"),
        )
    }
    for model, record in records.items():
        columns = {field.name for field in model._meta.fields}
        assert columns - set(record) - {f"{name}_id" for name in record} == NOT_EXPORTED[model], model


@pytest.mark.django_db
def test_the_export_shows_sign_ins_and_the_delivery_of_emails(
    ana: User, client_of: Callable[[User], Any], settings: Settings
) -> None:
    settings.NEW_LOGIN_MAIL = True
    settings.LANGUAGE_CODE = "en"
    User.objects.filter(pk=ana.pk).update(locale="es")
    client = client_of(ana)
    sessions.close(login.open_session(ana, proofs.PASSWORD)[0], actor=ana)
    delivery.deliver(OutboxMail.objects.get().pk)
    OutboxMail.objects.update(last_error="451 later")
    exported = client.get("/api/v1/users/me/export/").json()
    [mail] = exported["mails"]
    assert set(mail["data"]) == {"at", "ip"}
    assert (mail["state"], mail["attempts"], mail["last_error"]) == ("sent", 1, "451 later")
    assert mail["fallback_language"] == "en"
    assert "language" not in mail
    assert [one["revoked_at"] is None for one in exported["sessions"]] == [False, True]
    assert all(one["expires_at"] > one["idle_expires_at"] for one in exported["sessions"])


@pytest.mark.django_db
def test_the_export_contains_no_emails_to_the_previous_owner_of_the_address(
    ana: User, client_of: Callable[[User], Any], person: Callable[..., User]
) -> None:
    outbox.enqueue("new_login", email=ana.email, user=ana, data={"ip": "192.0.2.7"})
    outbox.enqueue("password_reset", email=ana.email)
    users.update(ana, actor=None, email="ana@example.net", email_verified=True)
    second = client_of(person("ana")).get("/api/v1/users/me/export/")
    assert "192.0.2.7" not in second.content.decode()
    assert "192.0.2.7" in client_of(ana).get("/api/v1/users/me/export/").content.decode()


@pytest.mark.django_db
def test_the_export_contains_the_stored_data(ana: User, client_of: Callable[[User], Any]) -> None:
    passwords.request_reset("ana@example.com")
    one_time_tokens.issue(ana, Purpose.PASSWORD_RESET, request=new_id(), email=ana.email)
    exported = client_of(ana).get("/api/v1/users/me/export/").json()
    assert exported["user"]["email"] == "ana@example.com"
    assert [one["purpose"] for one in exported["one_time_tokens"]] == ["password_reset"]
    assert [one["kind"] for one in exported["mails"]] == ["password_reset"]
    assert len(exported["sessions"]) == 1
    assert {one["kind"] for one in exported["audit"]} == {"session:opened", "user:exported"}
    assert not {"password", "digest", "hash"} & set(re.findall(r'"(\w+)":', json.dumps(exported)))
