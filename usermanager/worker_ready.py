"""Tells `manage.py serve` that its Celery worker takes tasks: the worker includes this module and makes the file."""

import os
from pathlib import Path

from celery.signals import worker_ready

VARIABLE = "WORKER_READY_FILE"


@worker_ready.connect
def announce(**_: object) -> None:
    if path := os.environ.get(VARIABLE):
        Path(path).touch()
