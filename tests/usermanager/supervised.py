"""A supervisor of two sleepers, one with a child of its own: `python -m tests.usermanager.supervised FOLDER`."""

import sys
from pathlib import Path

from usermanager.supervisor import Child, Supervisor

SLEEPER = """
import os, pathlib, subprocess, sys, time
name, has_child = sys.argv[1], len(sys.argv) > 2
if has_child:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], name + "-child"])
pathlib.Path(name).write_text(str(os.getpid()))
while os.getppid() != 1:
    time.sleep(0.05)
"""


def sleeper(folder: Path, name: str, *arguments: str) -> Child:
    pid_file = folder / name
    return Child(name, [sys.executable, "-c", SLEEPER, name, *arguments], pid_file.exists)


def main(folder: Path) -> None:
    supervisor = Supervisor([sleeper(folder, "single"), sleeper(folder, "parent", SLEEPER)], folder)
    try:
        supervisor.start()
        supervisor.wait_until_ready(seconds=20, patience_seconds=0)
        print("ready", flush=True)
        supervisor.run()
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
