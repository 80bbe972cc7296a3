"""Floods a running service from one network, and measures how a client of another network is affected.

    .venv/bin/python -m bench.flood [--scenario all] [--seconds 10] [--database postgres://postgres@127.0.0.1/postgres]

Starts `manage.py serve` for each scenario, on a folder (and, with --database, a database) of its own and with the
default limits. While one network floods, another client reads users/me/ every 20 ms, and 20 logins come from networks
that the service has not seen before. The target is a 99th percentile of 100 ms, and 19 successful logins. The clients
run on the same machine. The table shows the share of the processor that other programs took, because hashes have the
lowest priority.
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
    Response,
    credentials,
    database,
    log_in,
    percentiles,
    processor_ticks,
    running_service,
    send_request,
)

PROCESSES = 2
PAUSE_SECONDS = 0.02  # between two reads of users/me/
LOGINS = 20
HOME = {"X-Forwarded-For": "198.51.100.7"}


class Result(NamedTuple):
    quiet: list[Response]
    reads: list[Response]
    logins: list[Response]
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
        median, late, most = percentiles(result.reads)
        failed = sum(one.status != 200 for one in result.reads)
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
                statuses + (f"; users/me/ not 200: {failed}" if failed else ""),
            ),
            flush=True,
        )


def _measure(name: str, server: str, seconds: float) -> Result:
    scenario = SCENARIOS[name]
    with (
        database(server) as url,
        tempfile.TemporaryDirectory() as folder,
        running_service(folder, url, TRUSTED_PROXIES=str(scenario.proxies)) as port,
        multiprocessing.Pool(PROCESSES) as pool,
    ):
        token = log_in(port, 0, HOME)
        quiet = _read_profile(port, token, 2)
        with _share_of_other_programs() as others:
            end = time.monotonic() + seconds + 1
            numbers = [range(first, scenario.connections, PROCESSES) for first in range(PROCESSES)]
            flooding = pool.starmap_async(_flood, [(name, port, some, end) for some in numbers])
            time.sleep(1)  # until the flood is at full strength
            with ThreadPoolExecutor(1) as client:
                logins = client.submit(_log_in_repeatedly, port, scenario.proxies, seconds)
                reads = _read_profile(port, token, seconds)
            answers = sum(flooding.get(), Counter[int]())
        return Result(quiet, reads, logins.result(), answers, others[0])


def _flood(name: str, port: int, numbers: range, end: float) -> Counter[int]:
    """Opens one process's share of the connections. Counts the statuses of their responses."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        some = pool.map(lambda number: connection(name, port, number, end), numbers)
        return sum(some, Counter[int]())


def _read_profile(port: int, token: str, seconds: float) -> list[Response]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        headers = HOME | {"Authorization": f"Bearer {token}"}
        answers.append(send_request(client, "GET", "/api/v1/users/me/", None, headers))
        time.sleep(PAUSE_SECONDS)
    return answers


def _log_in_repeatedly(port: int, proxies: int, seconds: float) -> list[Response]:
    """Logs in each time with another account, from a network that the service sees for the first time."""
    answers, begun = [], time.monotonic()
    for number in range(LOGINS):
        time.sleep(max(0.0, begun + number * seconds / LOGINS - time.monotonic()))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = JSON | {"X-Forwarded-For": f"198.18.{number}.7"}
        answers.append(send_request(client, "POST", LOGIN, credentials(20 + number), headers))
        client.close()
    return answers


@contextmanager
def _share_of_other_programs() -> Iterator[list[float]]:
    """Yields a list that gets the share of the cores that other programs took within the block."""
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
