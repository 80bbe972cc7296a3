"""Fixtures for tests of settings: the settings of an environment, and the errors of an invalid one."""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.usermanager.processes import PROJECT, clean_environment

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def settings_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Returns a function that reads the settings in an environment with only these variables."""

    def read(**variables: str) -> dict[str, Any]:
        environment = clean_environment(**{"DATA_DIR": str(tmp_path / "var")} | variables)
        for name in set(os.environ) - set(environment):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(PROJECT / "usermanager" / "settings.py"))

    return read


@pytest.fixture
def errors_of(settings_with: Settings, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Returns a function that reads invalid variables and returns the printed lines."""

    def refuse(**variables: str) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            settings_with(**variables)
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()

    return refuse
