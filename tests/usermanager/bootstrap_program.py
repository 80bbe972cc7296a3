"""A program that sets up empty installations, each with several processes at the same moment.

Its arguments are the number of processes and, for each round, the URL of a database and a folder for DATA_DIR. It
prints a JSON list for each round, with the result or the error of each process.
"""

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connections

from usermanager import connection_urls, database_settings

fork = multiprocessing.get_context("fork")


def main(number: str, *installations: str) -> None:
    django.setup()
    for url, folder in zip(installations[::2], installations[1::2], strict=True):
        print(json.dumps(_at_once(int(number), url, Path(folder))), flush=True)


def _at_once(number: int, url: str, data_dir: Path) -> list[dict[str, str | None]]:
    barrier, results = fork.Barrier(number, timeout=60), fork.Queue()
    processes = [fork.Process(target=_bootstrap, args=(url, data_dir, barrier, results)) for _number in range(number)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _process in processes]
    for process in processes:
        process.join()
    return found


def _bootstrap(url: str, data_dir: Path, barrier: Any, results: Any) -> None:
    database = database_settings.complete(connection_urls.database(url, data_dir))
    settings.DATA_DIR, settings.DATABASE_FILE = data_dir, database["NAME"]
    settings.IS_SQLITE = database_settings.is_sqlite(database)
    connections.settings["default"] = {**connections.settings["default"], **database}
    del connections["default"]
    from usermanager import bootstrap  # noqa: PLC0415 - needs loaded apps

    barrier.wait()
    try:
        results.put({"password": bootstrap.run(), "error": None})
    except Exception as error:  # noqa: BLE001 - the test sees every error
        results.put({"password": None, "error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
