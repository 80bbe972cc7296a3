"""How schemathesis signs in: as a user or as an admin, anew whenever one of its own requests ended that.

It runs in a process of its own and takes service and person from the environment.
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
class SignedIn:
    """A session that lives at the moment of the request."""

    email = access = ""

    def get(self, case: Any, context: Any) -> str:
        if not self.access or _ask("GET", "users/me/", self.access).status_code != 200:
            self.access = self._log_in() or self._start_anew()
        return self.access

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"

    def _log_in(self) -> str:
        answer = _ask("POST", "auth/login/", email=self.email, password=PASSWORD) if self.email else None
        return answer.json()["access"] if answer is not None and answer.ok else ""

    def _start_anew(self) -> str:
        """It may have changed its own address, or deleted itself."""
        self.email = f"{ROLE}-{uuid4().hex[:12]}@example.com"
        _ask("POST", "auth/register/", email=self.email, password=PASSWORD)
        if ROLE == "admin":
            for deed in (["set-role", self.email, "admin"], ["verify", self.email]):
                made = manage("users", *deed, cwd=PROJECT, **_service())
                assert made.returncode == 0, made.stderr
        return self._log_in()


def _ask(method: str, path: str, access: str = "", **body: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {access}"} if access else {}
    return requests.request(method, f"{URL}/api/v1/{path}", json=body or None, headers=headers, timeout=30)


def _service() -> dict[str, str]:
    return {name: os.environ[name] for name in ("DATA_DIR", "DATABASE_URL") if name in os.environ}
