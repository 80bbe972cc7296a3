"""What must stand before the first request: the tables, the signing key, the first admin."""

import logging

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error, connections

from accounts import audit_chain, keys, private_files, users
from accounts.errors import InvalidInput
from accounts.management.base import about_database, reason
from accounts.models import User
from usermanager import health, preparation_lock

log = logging.getLogger(__name__)


def prepare() -> str | None:
    """Makes whatever of it is missing; returns the first admin's password when it was made up here.

    Of several processes that start at once, one makes it and the others wait.
    Raises CommandError when the database or ADMIN_PASSWORD cannot be used.
    """
    private_files.repair()
    try:
        with preparation_lock.held():
            if not health.is_migrated():
                call_command("migrate", interactive=False, verbosity=0)
            audit_chain.ensure()
            keys.ensure()
            made_up = users.ensure_first_admin(settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD)
        if not User.objects.administrators().exists():
            log.warning("No active administrator has a confirmed address: python manage.py users verify EMAIL")
        return made_up
    except Error as fault:
        raise CommandError(about_database(fault)) from fault
    except InvalidInput as refusal:
        raise CommandError(f"ADMIN_PASSWORD cannot be used: write a better one. {reason(refusal)}") from refusal
    finally:
        connections.close_all()  # processes that are started next must not inherit them
