"""The product as an operator runs it, with 100,000 users and a mail server."""

import http
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import named_users
from tests.notifications.mail_server import MailServer
from tests.usermanager.processes import PROJECT, clean_environment, eventually, free_port, running

ADMIN = "root@example.com"
PASSWORD = named_users.PASSWORD
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FILL_TIMEOUT_SECONDS = 300


class Product:
    def __init__(self, url: str, post: MailServer) -> None:
        self.url = url
        self.post = post

    def log_in(self, name: str) -> str:
        """Opens a session of the user on another device, and returns its access token."""
        return str(self._ask("auth/login/", {"email": named_users.address(name), "password": PASSWORD})["access"])

    def is_active(self, access: str) -> bool:
        """Tells whether the session of the token is active."""
        try:
            self._ask("users/me/", access=access)
            return True
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.UNAUTHORIZED:
                raise
            return False

    def reset_second_factors(self, name: str) -> str:
        """Resets the user's second factors as the administrator, and returns the emailed link."""
        access = str(self._ask("auth/login/", {"email": ADMIN, "password": PASSWORD})["access"])
        (user,) = self._ask(f"users/?search={named_users.address(name)}", access=access)["results"]
        self._ask(f"users/{user['id']}/factors/", access=access, method="DELETE")
        found: list[str] = []

        def has_link() -> bool:
            for mail in self.post.mails:
                text = mail.get_body(("plain",))
                if mail["To"] == named_users.address(name) and text:
                    found.extend(re.findall(r"\S+/set-up-second-factor\S+", text.get_content()))
            return bool(found)

        eventually(has_link)
        return found[0]

    def _ask(
        self, path: str, body: dict[str, str] | None = None, access: str = "", method: str | None = None
    ) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "User-Agent": BROWSER}
        headers |= {"Authorization": f"Bearer {access}"} if access else {}
        data = json.dumps(body).encode() if body else None
        url = f"{self.url}/api/v1/{path}"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found


@contextmanager
def served(folder: Path) -> Iterator[Product]:
    post, port = MailServer(), free_port()
    variables = {
        "DATA_DIR": str(folder / "var"),
        "PORT": str(port),
        "EMAIL_URL": post.url,
        "ADMIN_EMAIL": ADMIN,
        "ADMIN_PASSWORD": PASSWORD,
        "LOG_LEVEL": "warning",
    }
    _fill(folder / "named_users.csv", variables)
    command = ["manage.py", "serve"]
    post.open()
    try:
        with running(command, clean_environment(**variables), ready="Data ") as process:
            yield Product(f"http://localhost:{port}", post)
            process.stop()
    finally:
        post.close()


def _fill(path: Path, variables: dict[str, str]) -> None:
    named_users.write(path)
    for command in (["prepare"], ["seed", str(named_users.NUMBER)], ["import_users", str(path)]):
        subprocess.run(
            [sys.executable, str(PROJECT / "manage.py"), *command],
            env=clean_environment(**variables),
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=FILL_TIMEOUT_SECONDS,
        )
