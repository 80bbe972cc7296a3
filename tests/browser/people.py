"""Those whom the tests name, as a file that import_users reads; the crowd around them is made by `manage.py seed`."""

import csv
from pathlib import Path

from django.contrib.auth.hashers import make_password

PASSWORD = "correct horse battery staple"
NUMBER = 100_000
COLUMNS = ("email", "full_name", "locale", "email_verified", "password_hash")

# Each has a part of their own, so that no test stands in another's way.
NAMED = ("Quirina Suspendida", "Quirina Ohne Skript", "Quirina Española", "Quirina Tastatur", "Quirina Angemeldet",
         "Quirina Posteingang", "Quirina Erste", "Quirina Zweite", "Quirina Belegt")  # fmt: skip


def write(path: Path) -> None:
    password_hash = make_password(PASSWORD)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((address(name), name, "en", True, password_hash) for name in NAMED)


def address(name: str) -> str:
    return f"{'.'.join(name.lower().replace('ñ', 'n').split())}@example.com"
