"""Administrators who change one role at the same time."""

from functools import partial

import pytest

from accounts import roles
from accounts.models import Role
from tests.autocommit.racers import Track
from tests.autocommit.races import ROUNDS, won
from tests.autocommit.scene import Scene

pytestmark = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


@pytest.mark.parametrize("name", ["spare", "admin"])
def test_repeating_a_policy_undoes_none_that_is_set_at_once(racers: Track, scene: Scene, name: str) -> None:
    """Repeating it needs no fresh login, which setting another one does."""
    role = scene.role if name == "spare" else Role.objects.get(name=name)
    before = role.mfa
    for _round in range(ROUNDS):
        Role.objects.filter(pk=role.pk).update(mfa="off")
        read = Role.objects.get(pk=role.pk)
        repeating = [partial(roles.update, read, actor=scene.root, mfa="off")] * 3
        setting = partial(roles.update, read, actor=scene.root, mfa="required")
        assert len(won(racers.race([*repeating, setting]))) == 4
        assert Role.objects.get(pk=role.pk).mfa == "required"
    Role.objects.filter(pk=role.pk).update(mfa=before)
