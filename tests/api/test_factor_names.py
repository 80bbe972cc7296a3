"""A second factor that its owner does not name gets a name in the language that the owner has chosen."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts import enrolment
from accounts.mfa import factors, pending_logins
from accounts.models import PendingLogin, TotpSecret, User
from tests.api.requests import API
from tests.authenticator import Authenticator
from tests.second_factors import Phone

pytestmark = pytest.mark.django_db
NAMES = {"totp": ("Authenticator app", "Aplicación de autenticación"), "passkey": ("Passkey", "Clave de acceso")}
of_owner_and_request = pytest.mark.parametrize(
    ("of_owner", "of_request", "is_spanish"),
    [("es", "en", True), ("en", "es", False), ("", "es", True), ("", "en", False)],
)


@pytest.fixture
def client(client_of: Callable[[User], APIClient], ana: User, of_owner: str) -> APIClient:
    """Returns a client of ana, who has chosen this language."""
    User.objects.filter(pk=ana.pk).update(locale=of_owner)
    return client_of(ana)


def post(client: APIClient, path: str, language: str, **body: object) -> dict[str, object]:
    answer = client.post(f"{API}auth/{path}", body, format="json", headers={"Accept-Language": language})
    assert answer.status_code in {200, 201}, answer.content
    assert answer["Content-Language"] == language
    document: dict[str, object] = answer.json()
    return document


@of_owner_and_request
def test_of_an_authenticator_app(client: APIClient, of_request: str, is_spanish: bool) -> None:
    begun = post(client, "totp/", of_request)
    code = Phone(str(begun["secret"]), first=0).code()
    factor = post(client, "totp/confirm/", of_request, id=begun["id"], code=code)["factor"]
    assert isinstance(factor, dict)
    assert factor["name"] == NAMES["totp"][is_spanish]


@of_owner_and_request
def test_of_a_passkey(client: APIClient, of_request: str, is_spanish: bool) -> None:
    answer = Authenticator().create(post(client, "passkeys/options/", of_request))
    factor = post(client, "passkeys/", of_request, passkey=answer)["factor"]
    assert isinstance(factor, dict)
    assert factor["name"] == NAMES["passkey"][is_spanish]


@pytest.mark.parametrize("of_owner", ["es"])
@pytest.mark.usefixtures("client")
def test_of_the_pages_which_enrol_in_a_pending_login(ana: User) -> None:
    token = pending_logins.begin(ana, PendingLogin.Purpose.ENROLMENT)
    enrolment.begin_totp(enrolment.in_pending_login(token))
    assert TotpSecret.objects.get().name == NAMES["totp"][True]


def test_every_type_has_a_name(ana: User) -> None:
    assert {kind: factors.default_name(ana, kind) for kind in factors.NAMES} == {
        kind: english for kind, (english, _spanish) in NAMES.items()
    }
