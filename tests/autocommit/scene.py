"""The users of one test, and their sessions, emailed links and invitations."""

import re
from functools import cached_property
from itertools import count
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core import mail
from django.test import Client
from rest_framework.test import APIClient

from accounts import login, permissions, users
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import Role, Session, User
from notifications.models import OutboxMail, State
from notifications.sending import delivery
from tests.conftest import PASSWORD, hash_of_password
from tests.second_factors import WITH_CODE, Phone, enrol

_numbers = count(1)


def proof_of(user: User) -> proofs.Proof:
    """Returns what the user proves at a login."""
    return WITH_CODE if user.mfa_enabled else proofs.PASSWORD


class Scene:
    """New users with an IP address of their own, so that the rate limits of other tests don't count."""

    def __init__(self, database: str) -> None:
        self.database = database
        number = next(_numbers)
        self.ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def person(self, name: str, role: str = permissions.USER, **fields: Any) -> User:
        email = f"{name}-{uuid4().hex[:10]}@example.com"
        fields = {"full_name": name.title(), "email": email, "email_verified": True} | fields
        user = User(role=Role.objects.get(name=role), **fields)
        user.password = hash_of_password(settings.BCRYPT_ROUNDS)
        user.save()
        return user

    @cached_property
    def ana(self) -> User:
        return self.person("ana")

    @cached_property
    def root(self) -> User:
        return self.person("root", permissions.ADMIN)

    @cached_property
    def suspended(self) -> User:
        return users.suspend(self.person("eva"), actor=None)

    @cached_property
    def unconfirmed(self) -> User:
        return self.person("uma", email_verified=False)

    @cached_property
    def invited(self) -> User:
        return users.create(f"ida-{uuid4().hex[:10]}@example.com", actor=None)

    @cached_property
    def role(self) -> Role:
        """A role that no user has."""
        return Role.objects.create(name=f"role-{uuid4().hex[:10]}", permissions=["billing.refund"])

    @cached_property
    def session(self) -> Session:
        return login.open_session(self.ana, proof_of(self.ana))[0]

    @cached_property
    def phone(self) -> Phone:
        """The authenticator app of ana."""
        return enrol(self.ana)

    @cached_property
    def refresh(self) -> str:
        return login.open_session(self.ana, proofs.PASSWORD)[1]

    @cached_property
    def access(self) -> str:
        return access_tokens.issue(self.session)

    def client(self, sender: User | None = None) -> APIClient:
        """Returns a client of the API, signed in as the sender."""
        client = APIClient(REMOTE_ADDR=self.ip)
        if sender is not None:
            session, _refresh = login.open_session(sender, proof_of(sender))
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {access_tokens.issue(session)}")
        return client

    def panel(self, user: User) -> Client:
        """Returns a browser that is signed in to the admin panel."""
        browser = Client(REMOTE_ADDR=self.ip)
        browser.force_login(user)
        return browser

    def mail(self, kind: str) -> OutboxMail:
        """Returns the newest pending email of the kind."""
        return OutboxMail.objects.filter(kind=kind, state=State.PENDING).latest("id")

    def token(self, kind: str) -> str:
        """Delivers the newest pending email of the kind, and returns the token of its link."""
        email = self.mail(kind)
        delivery.deliver(email.pk)
        assert OutboxMail.objects.get(pk=email.pk).state == State.SENT
        found = re.search(r"token=([\w-]+)", str(mail.outbox[-1].body))
        assert found, mail.outbox[-1].body
        return found[1]

    def reset_token(self) -> str:
        users.send_password_reset(self.ana, actor=None)
        return self.token("password_reset")

    def verification_token(self) -> str:
        users.send_verification(self.unconfirmed, actor=None)
        return self.token("verify_email")

    def change_token(self) -> str:
        body = {"new_email": f"new-{uuid4().hex[:10]}@example.com", "current_password": PASSWORD}
        assert self.client(self.ana).post("/api/v1/auth/email/change/", body, format="json").status_code == 202
        return self.token("email_change")

    def invitation_token(self) -> str:
        assert self.invited.pk
        return self.token("invitation")
