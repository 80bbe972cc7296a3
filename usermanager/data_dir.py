"""Creates the directory of all local state, and the secret key in it."""

import secrets
from pathlib import Path

from accounts import private_files
from usermanager.connection_urls import Secret


def create_private_folder(path: Path) -> Path:
    """Creates the folder for its owner alone; the mode of one that exists stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def read_or_create_secret(path: Path) -> Secret:
    """Returns the secret in a file, which the first process that gets here creates for all others."""
    private_files.create_once(path, secrets.token_urlsafe(64).encode())
    return Secret(path.read_text().strip())
