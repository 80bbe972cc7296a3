#!/usr/bin/env python3
"""The command line: `python manage.py help` lists the commands."""

import gc
import os
import sys
from contextlib import nullcontext

from django.core.management import execute_from_command_line

from usermanager import metrics_folder

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usermanager.settings")
    gc.set_threshold(50_000)  # by default, Python looks for garbage 190 times while it loads a command
    # All processes of `serve` count in one folder, and the web server adds up. Prometheus' client must know the folder
    # before the settings import it.
    with metrics_folder.temporary() if sys.argv[1:2] == ["serve"] else nullcontext() as folder:
        os.environ |= {"PROMETHEUS_MULTIPROC_DIR": folder} if folder else {}
        execute_from_command_line(sys.argv)
