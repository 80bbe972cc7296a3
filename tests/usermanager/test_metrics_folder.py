"""The folder of the metrics, which uses memory, is removed even if its process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.usermanager.processes import PROJECT
from usermanager import metrics_folder

KEEPER = "from usermanager import metrics_folder; print(metrics_folder.create(), flush=True); input()"


def test_the_next_process_removes_the_folder_of_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_folder, "PARENT", tmp_path)
    patched = (
        f"import pathlib; from usermanager import metrics_folder as m; m.PARENT = pathlib.Path({str(tmp_path)!r}); "
    )
    with subprocess.Popen(
        [sys.executable, "-c", patched + KEEPER], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as keeper:
        assert keeper.stdout
        kept = Path(keeper.stdout.readline().strip())
        os.utime(kept, (0, 0))
        with metrics_folder.temporary() as ours:
            assert kept.is_dir()
            assert Path(ours).stat().st_mode & 0o077 == 0
        assert not Path(ours).exists()
        keeper.kill()
    with metrics_folder.temporary():
        assert not kept.exists()
