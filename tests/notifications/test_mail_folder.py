"""Mails as files, where there is no mail server."""

import re
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from pytest_django import Settings

from accounts.models import User
from notifications import delivery, mail_folder
from notifications.models import OutboxMail, State


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND = "notifications.mail_folder.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    return tmp_path / "mail"


def test_a_mail_is_a_file_that_a_person_can_find_and_read(
    ana: User, owe: Callable[..., OutboxMail], folder: Path
) -> None:
    mail = owe("password_reset")
    delivery.deliver(mail.pk)
    assert OutboxMail.objects.get(pk=mail.pk).state == State.SENT
    (file,) = folder.iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-\d{6}-password_reset-ana-at-example\.com\.eml", file.name)
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert re.search(rb"^http://localhost:8000/reset-password\?token=[\w-]{43}$", file.read_bytes(), re.MULTILINE)
    parsed = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert parsed["X-Entity-Ref-ID"] == str(mail.pk)


def test_a_spanish_mail_can_be_read_as_it_lies_there(ana: User, owe: Callable[..., OutboxMail], folder: Path) -> None:
    delivery.deliver(owe("password_changed", user=ana, language="es").pk)
    (file,) = folder.iterdir()
    assert "la contraseña de tu cuenta" in file.read_text()


def test_the_name_is_safe_whatever_the_address(folder: Path) -> None:
    message = EmailMessage("Hi", "", to=["../../.bash'rc $(rm)/ä@example.com"])
    mail_folder.EmailBackend(file_path=str(folder)).send_messages([message])
    (file,) = folder.iterdir()
    assert re.fullmatch(r"[\w.+-]+\.eml", file.name, re.ASCII)


def test_what_cannot_be_written_leaves_no_file_and_is_tried_again(
    ana: User, owe: Callable[..., OutboxMail], folder: Path
) -> None:
    folder.write_text("a file, not a folder")
    mail = owe()
    delivery.deliver(mail.pk)
    assert OutboxMail.objects.get(pk=mail.pk).state == State.OWED
    assert folder.read_text() == "a file, not a folder"
