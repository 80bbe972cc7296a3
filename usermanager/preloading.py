"""Loads all modules before a process forks, so that its forks share their memory and start at once."""

import codecs
import gc
from datetime import datetime
from importlib import import_module

import idna
from django.conf import settings
from django.contrib.auth import get_backends
from django.contrib.auth.hashers import get_hashers
from django.contrib.auth.password_validation import get_default_password_validators
from django.db.migrations.loader import MigrationLoader
from django.template import Engine
from django.urls import get_resolver
from django.utils import formats
from django.utils.module_loading import import_string

from usermanager import api_docs

# Libraries import these when the first request needs them.
LATE_MODULES = (
    "argon2",
    "cryptography.hazmat.backends.openssl.backend",
    "django.core.cache.backends.locmem",
    "django.db.models.sql.compiler",
)


def load_everything() -> None:
    """Loads all views, documents and migrations, and excludes them from garbage collection.

    The collector would write to each object, so that each fork would get a copy.
    """
    get_resolver().url_patterns  # noqa: B018 - loads every view
    api_docs.build_all()
    MigrationLoader(None)
    _load_what_requests_would()
    gc.collect()
    gc.freeze()


def _load_what_requests_would() -> None:
    """Loads what Django and the libraries otherwise load in the first request that needs it.

    tests/usermanager/test_late_imports.py shows what is missing here.
    """
    get_backends()
    get_hashers()
    get_default_password_validators()
    for name in (settings.MESSAGE_STORAGE, settings.SESSION_SERIALIZER):
        import_string(name)
    Engine.get_default().template_context_processors  # noqa: B018 - imports them
    for language, _name in settings.LANGUAGES:
        formats.get_format("DATE_FORMAT", language)
    for codec in ("unicode_escape", "hex"):
        codecs.lookup(codec)
    datetime.strptime("2026", "%Y")  # imports a module
    idna.encode("ü.example", uts46=True)  # imports its tables, and the codec of Punycode
    for name in LATE_MODULES:
        import_module(name)
