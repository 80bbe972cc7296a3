"""What must stand before the first request: the tables, the signing key, the first admin."""

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error, connections

from accounts import keys, users
from accounts.errors import AccountError
from usermanager import health


def prepare() -> str | None:
    """Makes whatever of it is missing; returns the first admin's password when it was made up here.

    Raises CommandError when the database or the admin's values cannot be used.
    """
    try:
        if not health.is_migrated():
            call_command("migrate", interactive=False, verbosity=0)
        keys.ensure()
        return users.ensure_first_admin(settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD)
    except Error as fault:
        raise CommandError(f"The database cannot be used: {str(fault).strip().splitlines()[0]}") from fault
    except AccountError as fault:
        raise CommandError(f"The first admin cannot be made: {fault.detail}") from fault
    finally:
        connections.close_all()  # processes that are started next must not inherit them
