"""Names the files in which each process counts for Prometheus, so that containers can share one folder."""

import os

from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
HOST = os.uname().nodename.replace("_", "-")  # the client splits file names at underscores


def identifier(pid: int | None = None) -> str:
    """Returns the host name and process id. Two containers often have the same process ids, but not the same host."""
    return f"{HOST}-{pid or os.getpid()}"


if FOLDER in os.environ:
    values.ValueClass = values.MultiProcessValue(identifier)  # type: ignore[no-untyped-call]
