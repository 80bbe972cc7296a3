"""The product's settings, in a hurry: leases and pauses are shorter in proportion, so that a fault heals in seconds."""

from usermanager.settings import *
from usermanager.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.hurry.Hurry"]
EMAIL_TIMEOUT = 1
