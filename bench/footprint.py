"""Measures how fast commands and `manage.py serve` start, and the memory of all processes at rest.

    .venv/bin/python -m bench.footprint [--times 5]

The first start creates the database and the keys. Each figure is the smallest of several, because other programs on the
machine only ever add to it. The memory is PSS: a page that several processes share counts once.
"""

import argparse
import http.client
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.service import PROJECT, SERVE, descendants, free_port, processor_ticks, send_request, variables_for

COMMANDS = (["users", "list"], ["check"], ["help"])
REST_SECONDS = 5.0  # after which memory is measured
POLL_SECONDS = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        print("| start | s | CPU s |")
        print("| --- | ---: | ---: |")
        _print_start("first `serve` to the first 200", [_serve(folder)[:2]])
        starts = [_serve(folder, rest=number == 0) for number in range(times)]
        _print_start("`serve` to the first 200", [start[:2] for start in starts])
        for command in COMMANDS:
            _print_start(f"`{' '.join(command)}`", [_command(folder, command) for _time in range(times)])
        print("\n" + starts[0][2])


def _print_start(name: str, figures: Sequence[tuple[float, float]]) -> None:
    seconds, cpu = map(min, zip(*figures, strict=True))
    print(f"| {name} | {seconds:.2f} | {cpu:.2f} |", flush=True)


def _serve(folder: str, *, rest: bool = False) -> tuple[float, float, str]:
    """Starts the service and stops it. Returns the seconds and processor seconds to the first 200, and its memory."""
    port = free_port()
    before, begin = processor_ticks()["service"], time.monotonic()
    server = subprocess.Popen(SERVE, cwd=PROJECT, env=variables_for(folder, PORT=str(port)), stdout=subprocess.DEVNULL)
    try:
        while _status(port) != 200:
            if server.poll() is not None:
                raise SystemExit("The service did not start.")
            time.sleep(POLL_SECONDS)
        seconds, cpu = time.monotonic() - begin, (processor_ticks()["service"] - before) / 100
        if rest:
            time.sleep(REST_SECONDS)
        return seconds, cpu, _memory(server.pid) if rest else ""
    finally:
        server.terminate()
        server.wait(60)


def _status(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    status = send_request(connection, "GET", "/health/ready/", None, {}).status
    connection.close()
    return status


def _command(folder: str, command: list[str]) -> tuple[float, float]:
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    program = [sys.executable, "manage.py", *command]
    subprocess.run(program, cwd=PROJECT, env=variables_for(folder), stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _memory(pid: int) -> str:
    """Returns a sentence about the memory of the process and all of its descendants."""
    sizes = {child: _pss(child) for child in (pid, *descendants(pid))}
    each = ", ".join(f"{_name(child)} {size:.0f}" for child, size in sizes.items())
    return f"Memory at rest: {sum(sizes.values()):.0f} MB PSS ({each})"


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


if __name__ == "__main__":
    main()
