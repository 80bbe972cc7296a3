"""Where each process counts for Prometheus: in files of its own, also where containers share the folder of them all."""

import os

from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
HOST = os.uname().nodename.replace("_", "-")  # the client takes what follows an underscore for something else


def identifier(pid: int | None = None) -> str:
    """What the files are named after: processes of two containers often have the same number, never the same host."""
    return f"{HOST}-{pid or os.getpid()}"


if FOLDER in os.environ:
    values.ValueClass = values.MultiProcessValue(identifier)  # type: ignore[no-untyped-call]
