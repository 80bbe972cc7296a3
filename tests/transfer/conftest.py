"""Shared by these tests: imports text as if it were a file."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

Importing = Callable[..., str]


@pytest.fixture
def import_users(db: None, tmp_path: Path) -> Importing:
    """Returns a function that imports the text, and returns the output and the error of the command."""

    def run(text: str, **options: Any) -> str:
        file, said = tmp_path / "users", StringIO()
        file.write_text(text, "utf-8", "surrogateescape", "")
        try:
            call_command("import_users", str(file), stdout=said, stderr=said, **options)
        except CommandError as error:
            said.write(f"{error}\n")
        return said.getvalue()

    return run


def lines(*rows: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, rows))
