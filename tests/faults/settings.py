"""Settings with short leases and pauses, in proportion, so that the product recovers from an error in seconds."""

from usermanager.settings import *
from usermanager.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.short_timeouts.ShortTimeouts"]
EMAIL_TIMEOUT = 1
