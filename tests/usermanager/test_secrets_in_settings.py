"""Commands and pages that print settings print no password."""

import subprocess
import sys
from pathlib import Path

from tests.usermanager.processes import PROJECT, clean_environment

SHOW = """
import sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import RequestFactory
from django.views.debug import ExceptionReporter
from celery_app import app
call_command("diffsettings", output="unified")
print(app.bugreport())
try:
    url, key, database = settings.CELERY_BROKER_URL, settings.SECRET_KEY, settings.DATABASES
    1 / 0
except ZeroDivisionError:
    print(ExceptionReporter(RequestFactory().get("/"), *sys.exc_info()).get_traceback_html())
"""


def test_printed_settings_show_no_secret(tmp_path: Path) -> None:
    """Covers `diffsettings`, `celery report` and Django's error page."""
    environment = clean_environment(
        DATA_DIR=str(tmp_path),
        DJANGO_SETTINGS_MODULE="usermanager.settings",
        DEBUG="true",
        SECRET_KEY="hunter2-of-django",
        ADMIN_PASSWORD="hunter2-of-the-admin",
        CELERY_BROKER_URL="amqp://ana:hunter2-broker@127.0.0.1:5672//",
        DATABASE_URL="postgres://ana:hunter2-database@127.0.0.1/db?sslpassword=hunter2-of-libpq",
        EMAIL_URL="smtp://ana:hunter2-mail@127.0.0.1",
    )
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "CELERY_BROKER_URL" in shown
    assert "ZeroDivisionError" in shown
    assert "hunter2" not in shown
