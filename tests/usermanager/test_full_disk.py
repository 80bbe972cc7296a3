"""On a full disk, the product answers 503 until there is space again. No process dies, and no stored data is lost."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
import requests

from tests.usermanager.processes import clean_environment, descendants, eventually, free_port, running

pytestmark = pytest.mark.process

PASSWORD = "correct horse battery staple"


class Disk(Protocol):
    folder: Path

    def fill(self, pid: int) -> None: ...
    def free(self, pid: int) -> None: ...


class SmallDisk:
    """A disk of 12 MiB in memory, which only root can mount."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def mount(self) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)  # noqa: S607

    def fill(self, pid: int) -> None:
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    def free(self, pid: int) -> None:
        self._filler.unlink()


class LimitedProcesses:
    """Stands in for a full disk where tests cannot mount one: the processes may not write to any file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int) -> None:
        self._limit(pid, 0)

    def free(self, pid: int) -> None:
        self._limit(pid, resource.RLIM_INFINITY)

    def _limit(self, pid: int, size: int) -> None:
        for one in {pid} | descendants(pid):
            resource.prlimit(one, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    small = SmallDisk(tmp_path)
    if not small.mount():
        yield LimitedProcesses(tmp_path)
        return
    yield small
    small.unmount()


def test_the_product_waits_until_a_full_disk_has_space(disk: Disk) -> None:
    port, temporary = free_port(), disk.folder / "tmp"
    temporary.mkdir()
    environment = clean_environment(
        DATA_DIR=str(disk.folder / "var"), TMPDIR=str(temporary), PORT=str(port), RATE_LIMITS="off",
        BCRYPT_ROUNDS="4", WEB_WORKERS="1", LOG_LEVEL="critical",
    )  # fmt: skip

    def ask(method: str, path: str, **body: str) -> requests.Response:
        return requests.request(method, f"http://127.0.0.1:{port}{path}", json=body or None, timeout=20)

    def register(name: str) -> requests.Response:
        return ask("POST", "/api/v1/auth/register/", email=f"{name}@example.com", password=PASSWORD)

    def log_in(name: str) -> requests.Response:
        return ask("POST", "/api/v1/auth/login/", email=f"{name}@example.com", password=PASSWORD)

    def has_mail(name: str) -> bool:
        return bool(list(disk.folder.glob(f"var/mail/*welcome*{name}*.eml")))

    with running(["manage.py", "serve"], environment, "Ctrl-C ends it") as process:
        assert register("before").status_code == 201
        eventually(lambda: has_mail("before"))
        family = descendants(process.pid)
        disk.fill(process.pid)
        eventually(lambda: ask("GET", "/health/ready/").status_code == 503)
        for answer in (register("during"), log_in("before"), register("during")):
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded"), answer.text
            assert int(answer.headers["Retry-After"]) > 0
        state = ask("GET", "/health/ready/").json()["database"]
        assert state == "full" if isinstance(disk, SmallDisk) else state != "ok"
        assert ask("GET", "/health/live/").status_code == 200
        disk.free(process.pid)
        eventually(lambda: ask("GET", "/health/ready/").status_code == 200)
        assert log_in("before").status_code == 200
        assert register("during").status_code == 201
        eventually(lambda: has_mail("during"))
        assert descendants(process.pid) == family
