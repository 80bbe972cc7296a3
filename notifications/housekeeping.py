"""Deletes expired rows every few minutes, in a thread of the relay: a million rows take a while, and no email waits."""

import io
import logging
import threading

from django.core.management import call_command
from django.db import connections

PAUSE_SECONDS = 300.0

log = logging.getLogger(__name__)


class Housekeeper:
    """A daemon thread: it may end with its process at any moment, as each step is a transaction."""

    def __init__(self) -> None:
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def shut_down(self) -> None:
        """Begins no further run."""
        self._is_stopping.set()

    def _run(self) -> None:
        while not self._is_stopping.wait(PAUSE_SECONDS):
            try:
                call_command("prune", stdout=io.StringIO())
            except Exception:  # any error: the next run may succeed
                log.exception("the housekeeping failed and runs again in %.0f s", PAUSE_SECONDS)
            finally:
                connections.close_all()
