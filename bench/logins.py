"""Logs in as fast as possible, and measures which share of the processor time becomes logins.

    .venv/bin/python -m bench.logins [--seconds 15] [--clients 64] [--database postgres://postgres@127.0.0.1/postgres]

Starts `manage.py serve` without limits, on a folder (and, with --database, a database) of its own. The clients log in
without a pause while another one reads users/me/. The report compares the logins with bare bcrypt on the same cores.
It names the processor time of other programs, because hashes have the lowest priority. bench/flood.py measures one
network against the others.
"""

import argparse
import http.client
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import bcrypt

from bench.service import (
    JSON,
    LOGIN,
    PASSWORD,
    ROUNDS,
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
PAUSE_SECONDS = 0.02  # between two requests for users/me/


def main() -> None:
    options = _options()
    cores = os.cpu_count() or 1
    bare = bare_bcrypt(cores, seconds=5)
    with (
        database(options.database) as url,
        tempfile.TemporaryDirectory() as folder,
        running_service(folder, url, RATE_LIMITS="off") as port,
    ):
        quiet = _percentiles(_look(port, log_in(port, 0), seconds=3))
        with _machine() as taken:
            logins, looks = _flood(port, options.clients, options.seconds)
    _report(bare, quiet, logins, looks, options)
    print("of the machine       " + ", ".join(f"{name} {share:.0%}" for name, share in taken.items()))


@contextmanager
def _machine() -> Iterator[dict[str, float]]:
    """Measures which share of the cores the service, the clients and other programs use within the block."""
    taken: dict[str, float] = {}
    before = processor_ticks()
    yield taken
    spent = {name: after - before[name] for name, after in processor_ticks().items()}
    spent["others"] = spent["busy"] - spent["service"] - spent["clients"]
    taken |= {name: spent[name] / spent["all"] for name in ("service", "clients", "others")}


def _flood(port: int, clients: int, seconds: float) -> tuple[list[Response], list[Response]]:
    token = log_in(port, 0)
    with multiprocessing.Pool(PROCESSES) as pool:
        shares = [(port, range(number, clients, PROCESSES), seconds) for number in range(PROCESSES)]
        flooding = pool.starmap_async(_clients, shares)
        time.sleep(1)  # until the queue is full
        looks = _look(port, token, seconds - 2)
        return [answer for answers in flooding.get() for answer in answers], looks


def _clients(port: int, numbers: range, seconds: float) -> list[Response]:
    """Runs one process's share of the clients, and returns their responses."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        return [answer for some in pool.map(lambda number: _client(port, number, seconds), numbers) for answer in some]


def _client(port: int, number: int, seconds: float) -> list[Response]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = credentials(number)
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        answers.append(send_request(connection, "POST", LOGIN, body, JSON))
    return [answer for answer in answers if answer.at < end]


def _look(port: int, token: str, seconds: float) -> list[Response]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        answers.append(send_request(connection, "GET", "/api/v1/users/me/", None, {"Authorization": f"Bearer {token}"}))
        time.sleep(PAUSE_SECONDS)
    return answers


def bare_bcrypt(threads: int, seconds: float, rounds: int = ROUNDS) -> float:
    """Returns how many hashes per second the cores compute when nothing else runs."""
    end = time.monotonic() + seconds

    def hash_on(_number: int) -> tuple[int, float]:
        started, done = time.monotonic(), 0
        while time.monotonic() < end:
            bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds))
            done += 1
        return done, time.monotonic() - started

    with ThreadPoolExecutor(threads) as pool:
        return sum(done / took for done, took in pool.map(hash_on, range(threads)))


def _percentiles(answers: list[Response]) -> str:
    median, late, most = percentiles(answers)
    return f"p50 {median:.1f}  p99 {late:.1f}  most {most:.1f} ms"


def _report(
    bare: float, quiet: str, logins: list[Response], looks: list[Response], options: argparse.Namespace
) -> None:
    by_status = {status: [one for one in logins if one.status == status] for status in {one.status for one in logins}}
    rate = len(by_status.get(200, [])) / options.seconds
    print(f"{options.clients} clients, {options.seconds} s, {'PostgreSQL' if options.database else 'SQLite'}")
    print(f"bare bcrypt          {bare:.2f} a second")
    waited = _percentiles(by_status.get(200, []))
    print(f"logins               {rate:.2f} a second, {rate / bare:.0%} of that; {waited}")
    for status, answers in sorted(by_status.items()):
        if status != 200:
            print(f"answers {status:<12} {len(answers)}; {_percentiles(answers)}")
    print(f"users/me/ in quiet   {quiet}")
    print(f"users/me/ in flood   {_percentiles(looks)}; not 200: {sum(one.status != 200 for one in looks)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--database", default="", help="a PostgreSQL server, on which a database is made and dropped")
    return parser.parse_args()


if __name__ == "__main__":
    main()
