"""Creates the directory of all local state, and the secret key in it."""

import os
import secrets
from pathlib import Path
from tempfile import mkstemp

from usermanager.connection_urls import Secret


def create_private_folder(path: Path) -> Path:
    """Creates the folder for its owner alone; the mode of one that exists stays as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def read_or_create_secret(path: Path) -> Secret:
    """Returns the secret in a file, which the first process that gets here creates for all others."""
    if not path.exists():
        handle, draft = mkstemp(dir=path.parent, prefix=f".{path.name}-")  # with mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            os.fsync(handle)
        try:
            os.link(draft, path)  # unlike a rename, it never replaces the file that another process has just created
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return Secret(path.read_text().strip())
