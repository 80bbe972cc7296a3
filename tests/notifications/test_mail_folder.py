"""Emails as files, without an SMTP server."""

import errno
import os
import re
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from pytest_django import DjangoCaptureOnCommitCallbacks as Commits
from pytest_django import Settings

from accounts import users
from accounts.models import User
from notifications.models import OutboxMail, State
from notifications.sending import delivery, mail_folder


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND = "notifications.sending.mail_folder.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    return tmp_path / "mail"


def test_an_email_becomes_a_readable_file(ana: User, enqueue: Callable[..., OutboxMail], folder: Path) -> None:
    mail = enqueue("password_reset")
    delivery.deliver(mail.pk)
    assert OutboxMail.objects.get(pk=mail.pk).state == State.SENT
    (file,) = folder.iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-\d{6}-password_reset-ana-at-example\.com\.[0-9a-f-]{36}\.eml", file.name)
    assert str(mail.pk) in file.name
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert re.search(rb"^http://localhost:8000/reset-password\?token=[\w-]{43}$", file.read_bytes(), re.MULTILINE)
    parsed = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert parsed["X-Entity-Ref-ID"] == str(mail.pk)


def test_the_file_of_a_spanish_email_is_readable(ana: User, enqueue: Callable[..., OutboxMail], folder: Path) -> None:
    delivery.deliver(enqueue("password_changed", user=ana, language="es").pk)
    (file,) = folder.iterdir()
    assert "la contraseña de tu cuenta" in file.read_text()


def test_the_file_name_is_safe_for_every_address(folder: Path) -> None:
    message = EmailMessage("Hi", "", to=["../../.bash'rc $(rm)/ä@example.com"])
    mail_folder.EmailBackend(file_path=str(folder)).send_messages([message])
    (file,) = folder.iterdir()
    assert re.fullmatch(r"[\w.+-]+\.eml", file.name, re.ASCII)


def test_a_failed_write_leaves_no_file_and_is_retried(
    ana: User, enqueue: Callable[..., OutboxMail], folder: Path
) -> None:
    folder.write_text("a file, not a folder")
    mail = enqueue()
    delivery.deliver(mail.pk)
    assert OutboxMail.objects.get(pk=mail.pk).state == State.PENDING
    assert folder.read_text() == "a file, not a folder"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def old_file(folder: Path) -> Callable[[str], Path]:
    """A file as older versions named theirs, with the id in the header alone."""

    def write(mail_id: str) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / f"20260101-120000-{len(files(folder)):06}-welcome-ana-at-example.com.eml"
        path.write_text(f"Subject: Welcome\nTo: ana@example.com\nX-Entity-Ref-ID: {mail_id}\n\nHello\n")
        return path

    return write


def test_deleting_a_user_deletes_the_files_of_all_their_former_addresses(
    ana: User,
    person: Callable[..., User],
    enqueue: Callable[..., OutboxMail],
    folder: Path,
    django_capture_on_commit_callbacks: Commits,
) -> None:
    """Found by the email's id: the name of a file and its header hold an address that may be another's now."""
    person("bruno")
    with django_capture_on_commit_callbacks(execute=True):
        delivery.deliver(enqueue("password_changed", user=ana).pk)
        delivery.deliver(enqueue("already_registered").pk)
        others = enqueue(
            "password_changed", email="bruno@example.com", user=User.objects.get(email="bruno@example.com")
        )
        delivery.deliver(others.pk)
        users.update(ana, actor=None, email="ana.new@example.com", email_verified=True)
        delivery.deliver(enqueue("password_changed", user=ana, email="ana.new@example.com").pk)
    assert len(files(folder)) == 4
    with django_capture_on_commit_callbacks(execute=True):
        users.delete(ana, actor=None)
    [left] = files(folder)
    assert str(others.pk) in left


def test_an_unwritable_folder_does_not_prevent_the_deletion_of_a_user(
    ana: User,
    enqueue: Callable[..., OutboxMail],
    folder: Path,
    django_capture_on_commit_callbacks: Commits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delivery.deliver(enqueue().pk)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with django_capture_on_commit_callbacks(execute=True):
            users.delete(ana, actor=None)
        assert mail_folder.prune() == 0
    assert not User.objects.exists()
    assert len(files(folder)) == 1
    assert mail_folder.prune() == 1
    assert files(folder) == set()


def read_only(path: Path, missing_ok: bool = False) -> None:
    raise OSError(errno.EROFS, "Read-only file system", str(path))


def test_housekeeping_deletes_files_without_a_row_and_no_others(
    ana: User, enqueue: Callable[..., OutboxMail], folder: Path, old_file: Callable[[str], Path], settings: Settings
) -> None:
    """Deletes files in the default folder, too, after EMAIL_URL has changed to SMTP."""
    kept, gone = enqueue(), enqueue()
    for mail in (kept, gone):
        delivery.deliver(mail.pk)
        old_file(str(mail.pk))
    gone.delete()
    foreign = folder / "20260101-120000-000000-notes.eml"
    foreign.write_text("Subject: mine\n\nX-Entity-Ref-ID: 019388f1-7c4e-7d0a-9f6e-2b9d1c3f5a70\n")
    for draft, age in (("old", 2 * mail_folder.DRAFT_SECONDS), ("new", 0)):
        path = folder / f"{mail_folder.DRAFT}{draft}"
        path.write_text("half an email")
        os.utime(path, (time.time() - age, time.time() - age))
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.DATA_DIR = folder.parent
    del settings.EMAIL_FILE_PATH
    assert mail_folder.prune() == 3
    left = [path for path in folder.iterdir() if path.suffix == ".eml" and path != foreign]
    assert len(left) == 2
    assert all(str(kept.pk) in path.name + path.read_text() for path in left)
    assert foreign.exists()
    assert (folder / f"{mail_folder.DRAFT}new").exists()
