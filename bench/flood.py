"""Floods a running service from one network, and measures what that does to a client of another one.

    .venv/bin/python -m bench.flood [--scenario all] [--seconds 10] [--database postgres://postgres@127.0.0.1/postgres]

Starts `manage.py serve` for each scenario, on a folder (and, with --database, a database) of its own and with the
default limits. While one network floods, another client reads users/me/ each 20 ms, and 20 logins come from networks
that were never seen before. The target is a 99th percentile of 100 ms and 19 of the 20 logins. The clients run on the
same machine. The table tells which share of it other programs took meanwhile, as hashes have the lowest priority.
"""

import argparse
import http.client
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from bench.flood_scenarios import SCENARIOS, connection
from bench.service import (
    JSON,
    LOGIN,
    Answer,
    ask,
    credentials,
    database,
    log_in,
    percentiles,
    processor_ticks,
    served,
)

PROCESSES = 2
PAUSE_SECONDS = 0.02  # between two looks at users/me/
LOGINS = 20
HOME = {"X-Forwarded-For": "198.51.100.7"}


class Result(NamedTuple):
    quiet: list[Answer]
    looks: list[Answer]
    logins: list[Answer]
    flood: Counter[int]
    others: float


def main() -> None:
    options = _options()
    names = list(SCENARIOS) if options.scenario == "all" else [options.scenario]
    stored = "PostgreSQL" if options.database else "SQLite"
    line = "{:<14} {:<11} {:>9} {:>9} {:>9} {:>7} {:>10} {:>7}  {}"
    print(
        line.format(
            "scenario", "database", "quiet p99", "flood p50", "flood p99", "most", "logins ok", "others", "flood"
        )
    )
    for name in names:
        result = _measure(name, options.database, options.seconds)
        median, late, most = percentiles(result.looks)
        refused = sum(one.status != 200 for one in result.looks)
        right = sum(one.status == 200 for one in result.logins)
        statuses = ", ".join(f"{status}: {number}" for status, number in sorted(result.flood.items()))
        print(
            line.format(
                name,
                stored,
                f"{percentiles(result.quiet)[1]:.0f} ms",
                f"{median:.0f} ms",
                f"{late:.0f} ms",
                f"{most:.0f}",
                f"{right}/{len(result.logins)}",
                f"{result.others:.0%}",
                statuses + (f"; users/me/ not 200: {refused}" if refused else ""),
            ),
            flush=True,
        )


def _measure(name: str, server: str, seconds: float) -> Result:
    scenario = SCENARIOS[name]
    with (
        database(server) as url,
        tempfile.TemporaryDirectory() as folder,
        served(folder, url, TRUSTED_PROXIES=str(scenario.proxies)) as port,
        multiprocessing.Pool(PROCESSES) as pool,
    ):
        token = log_in(port, 0, HOME)
        quiet = _look(port, token, 2)
        with _share_of_others() as others:
            end = time.monotonic() + seconds + 1
            numbers = [range(first, scenario.connections, PROCESSES) for first in range(PROCESSES)]
            flooding = pool.starmap_async(_connections, [(name, port, some, end) for some in numbers])
            time.sleep(1)  # until the flood has risen
            with ThreadPoolExecutor(1) as client:
                logins = client.submit(_log_in_again_and_again, port, scenario.proxies, seconds)
                looks = _look(port, token, seconds)
            answers = sum(flooding.get(), Counter[int]())
        return Result(quiet, looks, logins.result(), answers, others[0])


def _connections(name: str, port: int, numbers: range, end: float) -> Counter[int]:
    """What a process's share of the flood was answered."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        some = pool.map(lambda number: connection(name, port, number, end), numbers)
        return sum(some, Counter[int]())


def _look(port: int, token: str, seconds: float) -> list[Answer]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        headers = HOME | {"Authorization": f"Bearer {token}"}
        answers.append(ask(client, "GET", "/api/v1/users/me/", None, headers))
        time.sleep(PAUSE_SECONDS)
    return answers


def _log_in_again_and_again(port: int, proxies: int, seconds: float) -> list[Answer]:
    """Each time from another network, as far as the service can see that. None is tried twice."""
    answers, begun = [], time.monotonic()
    for number in range(LOGINS):
        time.sleep(max(0.0, begun + number * seconds / LOGINS - time.monotonic()))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = JSON | {"X-Forwarded-For": f"198.18.{number}.7"}
        answers.append(ask(client, "POST", LOGIN, credentials(20 + number), headers))
        client.close()
    return answers


@contextmanager
def _share_of_others() -> Iterator[list[float]]:
    """Which share of the cores other programs took within the block."""
    found = [0.0]
    before = processor_ticks()
    yield found
    spent = {name: after - before[name] for name, after in processor_ticks().items()}
    found[0] = max(0.0, spent["busy"] - spent["service"] - spent["clients"]) / spent["all"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=[*SCENARIOS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--database", default="", help="a PostgreSQL server, on which a database is made and dropped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
