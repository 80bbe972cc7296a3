"""The product as an operator runs it, full of people, with a mail server beside it."""

import http
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import people
from tests.notifications.post import Post
from tests.usermanager.processes import PROJECT, clean_environment, free_port, running

ADMIN = "root@example.com"
PASSWORD = people.PASSWORD
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FILLING_SECONDS = 300


class Product:
    def __init__(self, url: str, post: Post) -> None:
        self.url = url
        self.post = post

    def log_in(self, name: str) -> str:
        """The access token of a session that the person opens on a device of their own."""
        return str(self._ask("auth/login/", {"email": people.address(name), "password": PASSWORD})["access"])

    def is_alive(self, access: str) -> bool:
        """Whether the session of the token still stands."""
        try:
            self._ask("users/me/", access=access)
            return True
        except urllib.error.HTTPError as refusal:
            if refusal.code != http.HTTPStatus.UNAUTHORIZED:
                raise
            return False

    def _ask(self, path: str, body: dict[str, str] | None = None, access: str = "") -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "User-Agent": BROWSER}
        headers |= {"Authorization": f"Bearer {access}"} if access else {}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers)  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def served(folder: Path) -> Iterator[Product]:
    post, port = Post(), free_port()
    variables = {
        "DATA_DIR": str(folder / "var"),
        "PORT": str(port),
        "EMAIL_URL": post.url,
        "ADMIN_EMAIL": ADMIN,
        "ADMIN_PASSWORD": PASSWORD,
        "LOG_LEVEL": "warning",
    }
    _fill(folder / "people.csv", variables)
    command = [sys.executable, str(PROJECT / "manage.py"), "serve"]
    post.open()
    try:
        with running(command, clean_environment(**variables), ready="Data ") as process:
            yield Product(f"http://localhost:{port}", post)
            process.stop()
    finally:
        post.close()


def _fill(path: Path, variables: dict[str, str]) -> None:
    people.write(path)
    for command in (["prepare"], ["seed", str(people.NUMBER)], ["import_users", str(path)]):
        subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *command],
            env=clean_environment(**variables),
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=FILLING_SECONDS,
        )
