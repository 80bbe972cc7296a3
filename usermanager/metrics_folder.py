"""Says where the folder is made in which the processes count for Prometheus: in memory, where the system has a place.

The client maps its files into memory. On a full disk, to touch a new page of one ends the process with SIGBUS, and the
next process, too, so that a web server would not come up until there is room again.
"""

import os

_MEMORY = "/dev/shm"  # noqa: S108 - what is made in it is for its owner alone
PARENT = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None  # None: TMPDIR
PREFIX = "usermanager-metrics-"
