"""Made-up users for development and benchmarks: plausible names, addresses that no mail reaches, years of history."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from random import Random

from django.db.models import Q

from accounts.addresses import canonical_email
from accounts.models import Role, User
from accounts.models.identifiers import id_of
from accounts.search import folded

#: RFC 2606 keeps these for examples: no mail to them reaches anybody.
DOMAINS = ("example.com", "example.org", "example.net")
SUBDOMAINS = ("", "mail.", "correo.", "post.", "team.")

GIVEN = {
    "en": (
        *(
            "Olivia",
            "Amelia",
            "Emma",
            "Charlotte",
            "Sophie",
            "Grace",
            "Ruby",
            "Zoë",
            "Chloé",
            "Hannah",
            "Alice",
            "Maya",
        ),
        *("Oliver", "George", "Harry", "Noah", "Jack", "Leo", "Arthur", "Oscar", "Henry", "Theo", "Samuel", "Dylan"),
    ),
    "es": (
        *(
            "María",
            "Lucía",
            "Sofía",
            "Martina",
            "Paula",
            "Inés",
            "Begoña",
            "Nuria",
            "Carmen",
            "Rocío",
            "Elena",
            "Julia",
        ),
        *(
            "Hugo",
            "Mateo",
            "Martín",
            "Álvaro",
            "Íñigo",
            "Andrés",
            "Adrián",
            "José",
            "Raúl",
            "Nicolás",
            "Diego",
            "Óscar",
        ),
    ),
}
FAMILY = {
    "en": (
        *("Smith", "Jones", "Taylor", "Brown", "Williams", "Wilson", "Johnson", "Davies", "Robinson", "Wright"),
        *("Thompson", "Evans", "Walker", "White", "Roberts", "Green", "Hall", "Wood", "Jackson", "Clarke", "O'Neill"),
    ),
    "es": (
        *("García", "Rodríguez", "González", "Fernández", "López", "Martínez", "Sánchez", "Pérez", "Gómez", "Ruiz"),
        *("Jiménez", "Hernández", "Díaz", "Moreno", "Muñoz", "Álvarez", "Romero", "Núñez", "Ibáñez", "Peña", "Yáñez"),
    ),
}
YEARS = timedelta(days=4 * 365)


def is_of_nobody() -> Q:
    """Holds for the addresses that are made up here, and others to which no mail goes."""
    return reduce(or_, (Q(email_key__endswith=end + domain) for end in "@." for domain in DOMAINS))


@dataclass(frozen=True)
class Crowd:
    """People who came in the years before `today` and share a password, of which this is the hash.

    One in a thousand has the rare role.
    """

    password: str
    today: datetime
    common: Role
    rare: Role

    def people(self, first: int, number: int, seed: int) -> Iterator[User]:
        """So many, not stored yet, the oldest first; the same ones for the same numbers.

        `first` is the number in the first address.
        """
        chance = Random(f"{seed}:{first}")  # noqa: S311 - nothing here is a secret
        for index in range(number):
            created_at = self.today - YEARS * ((number - index) / number)
            yield self._person(first + index, created_at, chance)

    def _person(self, number: int, created_at: datetime, chance: Random) -> User:
        locale = chance.choice(("en", "es"))
        given, family = chance.choice(GIVEN[locale]), chance.choice(FAMILY[locale])
        email = _address(given, family, number, chance)
        second = f" {chance.choice(FAMILY[locale])}" if locale == "es" else ""
        return User(
            id=id_of(created_at, chance.getrandbits),
            email=email,
            email_key=canonical_email(email),
            password=self.password,
            full_name=f"{given} {family}{second}",
            role=self.common if number % 1000 else self.rare,
            is_active=chance.random() >= 0.001,
            email_verified=chance.random() >= 0.08,
            locale=locale if chance.random() < 0.7 else "",
            created_at=created_at,
            last_login_at=_last_login(created_at, self.today, chance),
        )


def _address(given: str, family: str, number: int, chance: Random) -> str:
    name = folded(f"{given}.{family}").replace("'", "")
    return f"{name}{number}@{chance.choice(SUBDOMAINS)}{chance.choice(DOMAINS)}"


def _last_login(created_at: datetime, today: datetime, chance: Random) -> datetime | None:
    """One in five never came; of the others, half were here in the last eighth of their time."""
    return None if chance.random() < 0.2 else today - (today - created_at) * chance.random() ** 3
