"""gunicorn's configuration of the product. Its workers also write which modules each request has loaded."""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings

from usermanager import gunicorn_config
from usermanager.gunicorn_config import *  # noqa: F403 - gunicorn reads each setting from this module

loaded: set[str] = set()


def post_worker_init(worker: Any) -> None:  # type: ignore[no-redef]
    gunicorn_config.post_worker_init(worker)
    loaded.update(sys.modules)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    late = set(sys.modules) - loaded
    loaded.update(late)
    with Path(settings.DATA_DIR, "late-imports.txt").open("a") as file:
        file.writelines(f"{request.method} {request.path} loaded {name}\n" for name in sorted(late))
