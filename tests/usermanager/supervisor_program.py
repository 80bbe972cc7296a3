"""Supervises two processes that sleep, one with a child.

python -m tests.usermanager.supervisor_program FOLDER [command|fork]
"""

import os
import sys
from pathlib import Path

from usermanager.supervisor import SupervisedProcess, Supervisor

SLEEPER = """
import os, pathlib, subprocess, sys, time
name, has_child = sys.argv[1], len(sys.argv) > 2
if has_child:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], name + "-child"])
pathlib.Path(name).write_text(str(os.getpid()))
while os.getppid() != 1:
    time.sleep(0.05)
"""


def sleeper(kind: str, folder: Path, name: str, *arguments: str) -> SupervisedProcess:
    command = [sys.executable, "-c", SLEEPER, name, *arguments]
    return SupervisedProcess(name, command if kind == "command" else lambda: _sleep(command), (folder / name).exists)


def _sleep(command: list[str]) -> None:
    """Runs SLEEPER in this process, which is a fork of the supervisor."""
    os.chdir(sys.argv[1])
    sys.argv = command[2:]
    exec(SLEEPER, {})  # noqa: S102 - the program above


def main(folder: Path, kind: str = "command") -> None:
    supervisor = Supervisor([sleeper(kind, folder, "single"), sleeper(kind, folder, "parent", SLEEPER)], folder)
    try:
        supervisor.start()
        supervisor.wait_until_ready(seconds=20, optional_seconds=0)
        print("ready", flush=True)
        supervisor.run()
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
