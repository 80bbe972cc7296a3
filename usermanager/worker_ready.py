"""Writes files that show that a Celery worker is ready and alive. The worker includes this module.

Celery's own check, `celery inspect ping`, needs its remote control, which is off.
"""

import os
from pathlib import Path

from celery.signals import heartbeat_sent, worker_ready

READY_FILE_VARIABLE = "WORKER_READY_FILE"
ALIVE_FILE_VARIABLE = "WORKER_ALIVE_FILE"


@worker_ready.connect
def create_ready_file(**_: object) -> None:
    """Creates the file by which `manage.py serve` sees that the worker is ready."""
    if path := os.environ.get(READY_FILE_VARIABLE):
        Path(path).touch()


@heartbeat_sent.connect
def touch_alive_file(**_: object) -> None:
    """Touches a file with each heartbeat, every two seconds. A container's health check looks at its age.

    A worker sends no heartbeat if it has lost the broker or if its event loop hangs.
    """
    if path := os.environ.get(ALIVE_FILE_VARIABLE):
        Path(path).touch()
