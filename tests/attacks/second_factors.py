"""A user with an authenticator app, as the attacks see them: over HTTP."""

from dataclasses import dataclass

from tests.attacks.client import Answer, Call
from tests.attacks.service import API, PASSWORD, Person, Service, post, verified
from tests.second_factors import Phone

SECOND = "auth/login/second-factor/"


@dataclass
class Protected:
    """A user with a second factor, and the session in which they added it."""

    person: Person
    phone: Phone
    secret: str
    recovery_codes: list[str]

    def mfa_token(self, service: Service | None = None) -> str:
        """Sends the password, and returns the token of the pending login."""
        service = service or self.person.service
        return str(service.must(403, "POST", "auth/login/", email=self.person.email, password=PASSWORD)["mfa_token"])

    def second(self, **proof: str) -> Answer:
        """Sends the password and then the proof."""
        return self.person.service.send(second(self.mfa_token(), **proof))


def second(mfa_token: str, **proof: str) -> Call:
    return post(SECOND, mfa_token=mfa_token, **proof)


def protect(person: Person) -> Protected:
    """Confirms the address of the user and adds an authenticator app."""
    verified(person)
    begun = person.must(201, "POST", "auth/totp/")
    phone = Phone(begun["secret"])
    added = person.must(200, "POST", "auth/totp/confirm/", id=begun["id"], code=phone.code())
    person.access, person.refresh = added["access"], added["refresh"]
    return Protected(person, phone, begun["secret"], added["recovery_codes"])


def bearer(path: str, token: str) -> Call:
    return Call("GET", API + path, token)
