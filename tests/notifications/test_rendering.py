"""Templates of our own, and files that an operator puts in their place."""

import logging
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import call_command

from notifications import checks
from notifications.content import composing, kinds

BODY = "notifications/en/password_changed/body.txt"


def override(data_dir: Path, name: str, text: str | bytes) -> None:
    path = data_dir / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def text_of(kind: str = "password_changed", language: str = "en") -> str:
    return composing.previews(kind, language)[0].text


def test_an_operators_file_overrides_the_built_in_one_and_a_change_shows_at_once(data_dir: Path) -> None:
    override(data_dir, BODY, "Dear {{ email }}, your & our password.")
    assert text_of() == "Dear a…@example.com, your & our password.\n"
    override(data_dir, BODY, "Changed.")
    assert text_of() == "Changed.\n"
    assert "contraseña" in text_of(language="es")


def test_an_operators_file_may_extend_a_built_in_one(data_dir: Path) -> None:
    name = "notifications/en/base.html"
    override(data_dir, name, f'{{% extends "{name}" %}}{{% block foot %}}Acme Inc.{{% endblock %}}')
    for kind in kinds.KINDS:
        assert "Acme Inc." in composing.previews(kind, "en")[0].html
    assert run_checks(tags=["templates"]) == []


@pytest.mark.parametrize("language", ["en", "es"])
def test_an_operators_base_overrides_the_built_in_one_in_every_email(data_dir: Path, language: str) -> None:
    ours = {kind: composing.previews(kind, language)[0] for kind in kinds.KINDS}
    base = "<html><body><style>h1 { color: teal; }</style><h1>{% block heading %}{% endblock %}</h1>Acme Inc."
    override(data_dir, "notifications/base.html", base + "{% block content %}{% endblock %}</body></html>")
    for kind, before in ours.items():
        (after, *_others) = composing.previews(kind, language)
        assert "Acme Inc." in after.html
        assert '<h1 style="color: teal;">' in after.html
        assert (after.subject, after.text) == (before.subject, before.text)
    assert checks.overridden_templates() == []


def test_an_operators_spanish_email_may_extend_the_built_in_base(data_dir: Path) -> None:
    content = "{% block heading %}Buenas{% endblock %}{% block content %}<p>Entra: {{ link }}</p>{% endblock %}"
    override(
        data_dir, "notifications/es/invitation/body.html", f'{{% extends "notifications/es/base.html" %}}{content}'
    )
    english, spanish = (composing.previews("invitation", language)[0].html for language in ("en", "es"))
    assert "Buenas</h1>" in spanish
    assert "Entra: http://localhost:8000/accept-invitation?token=" in spanish
    assert '<html lang="es">' in spanish
    assert "Buenas" not in english
    assert checks.overridden_templates() == []


@pytest.mark.parametrize("name", ["base.html", "es/base.html", "es/button.html", "es/foot.txt"])
def test_a_broken_shared_part_is_reported_once_and_the_built_in_one_is_used(
    data_dir: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ours = {kind: composing.previews(kind, "es") for kind in kinds.KINDS}
    override(data_dir, f"notifications/{name}", "{{ site|no_such_filter }}")
    with caplog.at_level(logging.ERROR):
        assert {kind: composing.previews(kind, "es") for kind in kinds.KINDS} == ours
    path = str(data_dir / "templates" / "notifications" / name)
    assert {record.getMessage().split()[0] for record in caplog.records} == {path}
    (warning,) = checks.overridden_templates()
    assert path in warning.msg


def test_a_shared_part_that_cannot_be_read_is_looked_for_in_the_folder(data_dir: Path) -> None:
    override(data_dir, "notifications/base.html", b"\xff\xfe not UTF-8")
    (warning,) = checks.overridden_templates()
    assert warning.msg.startswith(str(data_dir / "templates"))
    assert "UnicodeDecodeError" in warning.msg


def test_manage_py_check_reports_a_broken_file(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    override(data_dir, BODY, "{% if %}")
    call_command("check")
    assert BODY in capsys.readouterr().err


def test_html_is_escaped_and_text_is_not(data_dir: Path) -> None:
    for part in ("body.txt", "body.html"):
        override(data_dir, f"notifications/en/new_login/{part}", "{{ ip }}&{{ site }}<{{ email }}")
    (content,) = composing.previews("new_login", "en")
    assert content.text == "192.0.2.1&UserManager<a…@example.com\n"


def test_a_subject_is_always_one_line(data_dir: Path) -> None:
    override(data_dir, "notifications/en/password_changed/subject.txt", "Hello\r\nBcc: eve@example.com\n")
    assert composing.previews("password_changed", "en")[0].subject == "Hello Bcc: eve@example.com"


@pytest.mark.parametrize(
    "broken",
    [
        "{% if %}",
        "{{ site|no_such_filter }}",
        '{% extends "nowhere.txt" %}',
        '{% include "nowhere.txt" %}',
        "{{ site|default:nowhere }}",
        "{% url 'nowhere' %}",
        "{% load nothing %}",
        f'{{% include "{BODY}" %}}',
        "{% widthratio site 1 link %}{{ site|date:site|add:1|dictsort:1|slice:site|urlizetrunc:site }}",
        b"\xff\xfe not UTF-8",
    ],
)
def test_a_broken_file_is_logged_and_reported_and_the_built_in_one_is_used(
    data_dir: Path, broken: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ours = text_of()
    override(data_dir, BODY, broken)
    with caplog.at_level(logging.ERROR):
        assert text_of() == ours
    assert str(data_dir / "templates" / BODY) in caplog.text
    (warning,) = checks.overridden_templates()
    assert warning.id == "notifications.W001"
    assert BODY in warning.msg
    assert len(warning.msg) < len(str(data_dir)) + 300


def test_built_in_templates_pass_the_check(data_dir: Path) -> None:
    assert checks.overridden_templates() == []
