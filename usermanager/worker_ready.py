"""Shows with files that a Celery worker takes tasks: the worker includes this module.

Celery's own way to ask a worker, `celery inspect ping`, needs its remote control, which is off.
"""

import os
from pathlib import Path

from celery.signals import heartbeat_sent, worker_ready

VARIABLE = "WORKER_READY_FILE"
ALIVE_VARIABLE = "WORKER_ALIVE_FILE"


@worker_ready.connect
def announce(**_: object) -> None:
    """Tells `manage.py serve` that the worker has started."""
    if path := os.environ.get(VARIABLE):
        Path(path).touch()


@heartbeat_sent.connect
def show_life(**_: object) -> None:
    """Touches a file every two seconds while the worker has a connection to the broker, for a container's health check.

    A worker that lost the broker or whose loop hangs sends no heartbeat.
    """
    if path := os.environ.get(ALIVE_VARIABLE):
        Path(path).touch()
