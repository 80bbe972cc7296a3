"""The product's settings for tests: a separate data folder and database, cheap hashes, no rate limits."""

import atexit
import os
import shutil
import tempfile

# Temporary files go into memory where there is room: a disk takes milliseconds for each commit of SQLite.
MEMORY, ROOM_BYTES = "/dev/shm", 4 * 1024**3
if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
    place = os.statvfs(MEMORY)
    if place.f_bavail * place.f_frsize > ROOM_BYTES and not place.f_flag & os.ST_NOEXEC:
        tempfile.tempdir = MEMORY
# Each process has its own folder: processes of pytest-xdist would otherwise share signing keys and hashing slots.
os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="usermanager-tests-")
atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)
os.environ.setdefault("ENV_FILE", os.devnull)
os.environ |= {"BCRYPT_ROUNDS": "4", "RATE_LIMITS": "off", "LOG_LEVEL": "error", "SECRET_KEY": "test-" * 10}

from usermanager.settings import *
from usermanager.settings import DATABASES

DATABASES["default"]["TEST"] = {"NAME": ":memory:"}  # pytest-xdist would make files of it for our backend
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
LOGIN_QUEUE = 100
