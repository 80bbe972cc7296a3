"""Deletes what has expired every few minutes, beside the relay's work: a million rows take a while, no mail waits."""

import io
import logging
import threading

from django.core.management import call_command
from django.db import connections

PAUSE_SECONDS = 300.0

log = logging.getLogger(__name__)


class Housekeeper:
    """A thread that ends with its process, whatever it is doing: each of its steps is a transaction."""

    def __init__(self) -> None:
        self._is_dismissed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    @property
    def is_at_work(self) -> bool:
        return self._thread.is_alive()

    def dismiss(self) -> None:
        """Begins nothing more."""
        self._is_dismissed.set()

    def _run(self) -> None:
        while not self._is_dismissed.wait(PAUSE_SECONDS):
            try:
                call_command("prune", stdout=io.StringIO())
            except Exception:  # whatever it was, the next time may be better
                log.exception("the housekeeping failed and is done again in %.0f s", PAUSE_SECONDS)
            finally:
                connections.close_all()
