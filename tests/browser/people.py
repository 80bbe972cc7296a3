"""A hundred thousand people, as a file that import_users reads, and among them those whom the tests name."""

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.contrib.auth.hashers import make_password

PASSWORD = "correct horse battery staple"
NUMBER = 100_000
COLUMNS = ("email", "full_name", "locale", "email_verified", "is_active", "created_at", "password_hash")
FIRST = "Ana Bruno Carla Dora Emil Fátima Hugo Inés Jorge Julia Kenji Lucía Mateo Nora Omar Paula Rosa Samir Vera Zoe"
LAST = "Abad Bravo Castro Díaz Flores García Herrera Kaya López Méndez Núñez Ortiz Pérez Rivas Silva Torres Vidal Weber"
ASCII = str.maketrans("áéíóúñ", "aeioun")

# Each has a part of their own, so that no test stands in another's way.
NAMED = ("Quirina Suspendida", "Quirina Ohne Skript", "Quirina Española", "Quirina Tastatur", "Quirina Angemeldet",
         "Quirina Posteingang", "Quirina Erste", "Quirina Zweite", "Quirina Belegt")  # fmt: skip


def write(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(_rows())


def address(name: str) -> str:
    return f"{'.'.join(name.lower().translate(ASCII).split())}@example.com"


def _rows() -> Iterator[tuple[object, ...]]:
    chance = random.Random(5)
    now = datetime.now(UTC).replace(microsecond=0)
    password_hash = make_password(PASSWORD)
    for number in range(NUMBER - len(NAMED)):
        name = f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())} {chance.choice(LAST.split())}"
        age = timedelta(days=90) * chance.random() ** 1.6 + timedelta(minutes=5)
        state = (chance.choice(("en", "es")), chance.random() > 0.06, chance.random() > 0.01)
        yield (address(f"{name} {number}"), name, *state, (now - age).isoformat(), password_hash)
    for name in NAMED:
        yield (address(name), name, "en", True, True, now.isoformat(), password_hash)
