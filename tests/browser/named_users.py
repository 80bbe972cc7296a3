"""The users that the tests name, as a CSV file for import_users; `manage.py seed` creates the others."""

import csv
from pathlib import Path

from django.contrib.auth.hashers import make_password

PASSWORD = "correct horse battery staple"
NUMBER = 100_000
COLUMNS = ("email", "full_name", "locale", "email_verified", "password_hash")

# One for each test, so that the tests don't depend on each other.
NAMED = ("Quirina Suspendida", "Quirina Ohne Skript", "Quirina Española", "Quirina Tastatur", "Quirina Angemeldet",
         "Quirina Posteingang", "Quirina Erste", "Quirina Zweite", "Quirina Belegt", "Quirina Sicher",
         "Quirina Faktor", "Quirina Zugang", "Quirina Llave", "Quirina Tarde")  # fmt: skip


def write(path: Path) -> None:
    password_hash = make_password(PASSWORD)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((address(name), name, "en", True, password_hash) for name in NAMED)


def address(name: str) -> str:
    return f"{'.'.join(name.lower().replace('ñ', 'n').split())}@example.com"
