"""Creates what the first request needs: the tables, the signing key, the first administrator."""

import logging

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error, connections

from accounts import encrypted_secrets, encryption, private_files, users
from accounts.audit import chain
from accounts.encryption import UnusableKeys
from accounts.errors import InvalidInput
from accounts.jwt import signing_keys
from accounts.management.arguments import USAGE_STATUS
from accounts.management.base import describe_database_error, error_message
from accounts.models import User
from usermanager import bootstrap_lock, health

log = logging.getLogger(__name__)


def run() -> str | None:
    """Creates what is missing. Returns the first administrator's password if this call generated it.

    If several processes start at once, one of them does the work and the others wait.
    Raises CommandError if the database, the encryption keys or ADMIN_PASSWORD cannot be used.
    """
    private_files.repair()
    try:
        with bootstrap_lock.held():
            if not health.is_migrated():
                call_command("migrate", interactive=False, verbosity=0)
            chain.ensure_chains()
            signing_keys.ensure()
            encryption.ensure_key()
            encrypted_secrets.require_keys()
            generated = users.ensure_first_admin(settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD)
        if not User.objects.administrators().exists():
            log.warning("No active administrator has a confirmed address: python manage.py users verify EMAIL")
        return generated
    except Error as error:
        raise CommandError(describe_database_error(error)) from error
    except UnusableKeys as error:
        raise CommandError(str(error), returncode=USAGE_STATUS) from error
    except InvalidInput as error:
        raise CommandError(f"ADMIN_PASSWORD cannot be used: write a better one. {error_message(error)}") from error
    finally:
        connections.close_all()  # child processes must not inherit them
