"""Fake users for development and benchmarks: plausible names, addresses that receive no email, years of history."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from random import Random

from django.db.models import Q

from accounts.email_addresses import canonical_email
from accounts.mfa import totp
from accounts.models import Role, TotpSecret
from accounts.models.identifiers import id_at
from accounts.search import folded
from accounts.transfer.user_table import Values

#: RFC 2606 reserves these for examples, so they receive no email.
DOMAINS = ("example.com", "example.org", "example.net")
SUBDOMAINS = ("", "mail.", "correo.", "post.", "team.")

GIVEN_NAMES = {
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
FAMILY_NAMES = {
    "en": (
        *("Smith", "Jones", "Taylor", "Brown", "Williams", "Wilson", "Johnson", "Davies", "Robinson", "Wright"),
        *("Thompson", "Evans", "Walker", "White", "Roberts", "Green", "Hall", "Wood", "Jackson", "Clarke", "O'Neill"),
    ),
    "es": (
        *("García", "Rodríguez", "González", "Fernández", "López", "Martínez", "Sánchez", "Pérez", "Gómez", "Ruiz"),
        *("Jiménez", "Hernández", "Díaz", "Moreno", "Muñoz", "Álvarez", "Romero", "Núñez", "Ibáñez", "Peña", "Yáñez"),
    ),
}
HISTORY = timedelta(days=4 * 365)


def has_example_address() -> Q:
    """Matches users whose address is at one of DOMAINS or a subdomain."""
    return reduce(or_, (Q(email_key__endswith=end + domain) for end in "@." for domain in DOMAINS))


@dataclass(frozen=True)
class FakeUsers:
    """Users who registered in the years before `today`, and share the password of this hash.

    One in a thousand has the rare role. `second_factors` of them have a second factor, spread evenly over the years.
    """

    password: str
    today: datetime
    common: Role
    rare: Role
    second_factors: int = 0

    def generate(self, first: int, number: int, seed: int) -> Iterator[Values]:
        """Yields the values of `number` users, the oldest first. The same arguments give the same users.

        `first` is the number in the first address.
        """
        random = Random(f"{seed}:{first}")  # noqa: S311 - nothing here is a secret
        for index in range(number):
            created_at = self.today - HISTORY * ((number - index) / number)
            user = self._fake_user(first + index, created_at, random)
            if (index + 1) * self.second_factors // number > index * self.second_factors // number:
                user |= {"mfa_enabled": True, "email_verified": True}  # an unconfirmed address can't add a factor
            yield user

    def _fake_user(self, number: int, created_at: datetime, random: Random) -> Values:
        locale = random.choice(tuple(GIVEN_NAMES))
        given, family = random.choice(GIVEN_NAMES[locale]), random.choice(FAMILY_NAMES[locale])
        name = folded(f"{given}.{family}").replace("'", "")
        email = f"{name}{number}@{random.choice(SUBDOMAINS)}{random.choice(DOMAINS)}"
        second_family = f" {random.choice(FAMILY_NAMES[locale])}" if locale == "es" else ""
        return {
            "id": id_at(created_at, random.getrandbits),
            "email": email,
            "email_key": canonical_email(email),
            "password": self.password,
            "full_name": f"{given} {family}{second_family}",
            "role_id": self.common.pk if number % 1000 else self.rare.pk,
            "is_active": random.random() >= 0.001,
            "email_verified": random.random() >= 0.08,
            "locale": locale if random.random() < 0.7 else "",
            "created_at": created_at,
            "last_login_at": _last_login(created_at, self.today, random),
        }


def authenticator_apps(users: Iterable[Values], secret: bytes) -> Iterator[TotpSecret]:
    """Yields a confirmed authenticator app with this secret, not stored yet, for each of the users who has a factor."""
    for user in users:
        if user.get("mfa_enabled"):
            yield totp.confirmed(user["id"], secret, name="Authenticator app", at=user["created_at"])


def _last_login(created_at: datetime, today: datetime, random: Random) -> datetime | None:
    """Returns None for one in five. Half of the others logged in within the last eighth of the time since creation."""
    return None if random.random() < 0.2 else today - (today - created_at) * random.random() ** 3
