"""Signs schemathesis in as a user or an administrator, and again after one of its requests ended the session.

It runs in its own process, and reads the service and the role from the environment.
"""

import os
from typing import Any
from uuid import uuid4

import requests
import schemathesis

from tests.usermanager.processes import PROJECT, manage

URL, ROLE = os.environ["ATTACKED_URL"], os.environ["ATTACKED_ROLE"]
PASSWORD = "correct horse battery staple"


@schemathesis.auth(refresh_interval=None)
class Authentication:
    """Provides an access token that works at the moment of the request."""

    email = access = ""

    def get(self, case: Any, context: Any) -> str:
        if not self.access or _ask("GET", "users/me/", self.access).status_code != 200:
            self.access = self._log_in() or self._register()
        return self.access

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"

    def _log_in(self) -> str:
        answer = _ask("POST", "auth/login/", email=self.email, password=PASSWORD) if self.email else None
        return answer.json()["access"] if answer is not None and answer.ok else ""

    def _register(self) -> str:
        """Registers another user, because schemathesis may have changed the address or deleted the account."""
        self.email = f"{ROLE}-{uuid4().hex[:12]}@example.com"
        _ask("POST", "auth/register/", email=self.email, password=PASSWORD)
        if ROLE == "admin":
            environment = {name: os.environ[name] for name in ("DATA_DIR", "DATABASE_URL") if name in os.environ}
            for action in (["set-role", self.email, "admin"], ["verify", self.email]):
                result = manage("users", *action, cwd=PROJECT, **environment)
                assert result.returncode == 0, result.stderr
        return self._log_in()


def _ask(method: str, path: str, access: str = "", **body: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {access}"} if access else {}
    return requests.request(method, f"{URL}/api/v1/{path}", json=body or None, headers=headers, timeout=30)
