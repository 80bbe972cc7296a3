"""Proofs: what a user has proven at a login. Every session is opened with one."""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID


def _nothing() -> None:
    """Uses up nothing: a password can be used again."""


class Proof(NamedTuple):
    """`amr` names what was proven (RFC 8176; `recovery` is UserManager's own value). `mfa` in it says that a
    second factor was.

    `use_up` marks the code or the challenge as used, with one conditional statement, and raises InvalidSecondFactor if
    another request was faster. Call it inside the transaction of what the proof permits, with the user's row locked.
    """

    amr: tuple[str, ...]
    factor: UUID | None = None
    use_up: Callable[[], None] = _nothing

    @property
    def has_second_factor(self) -> bool:
        return "mfa" in self.amr

    def after_password(self) -> "Proof":
        """Returns the proof of a password and of this second factor."""
        return self._replace(amr=("pwd", *self.amr))


PASSWORD = Proof(("pwd",))
