"""The product's settings as tests need them: a data folder and a database of their own, cheap hashes, no limits."""

import atexit
import os
import shutil
import tempfile

# Of this process alone: those of pytest-xdist would find each other's keys and take each other's places to hash.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="usermanager-tests-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ.setdefault("ENV_FILE", os.devnull)
os.environ |= {"BCRYPT_ROUNDS": "4", "RATE_LIMITS": "off", "LOG_LEVEL": "error", "SECRET_KEY": "test-" * 10}

from usermanager.settings import *
from usermanager.settings import DATABASES

DATABASES["default"]["TEST"] = {"NAME": None}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
LOGIN_QUEUE = 1000
