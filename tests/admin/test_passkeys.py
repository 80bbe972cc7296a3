"""Users of the panel sign in with passkeys, add them, and confirm with them that it is them."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import AuditEvent, Passkey, Role, Session, TotpSecret, User
from tests.admin.second_factors import (
    CONFIRM,
    FACTORS,
    HOME,
    LOGIN,
    PASSWORDS,
    ROLES,
    SECOND,
    Panel,
    is_in,
    make_stale,
    send_password,
    text,
)
from tests.authenticator import UP, Authenticator
from tests.second_factors import add_passkey, enrol

pytestmark = pytest.mark.django_db


@pytest.fixture
def authenticator(carla: User) -> Authenticator:
    return add_passkey(carla)


def options_in(answer: Any) -> dict[str, Any]:
    """Returns the options that the script of the page reads."""
    found: dict[str, Any] = json.loads(unescape(re.findall('data-options="([^"]+)"', answer.content.decode())[0]))
    return found


def send(client: Client, address: str, answer: Any, **fields: str) -> Any:
    return client.post(address, {"passkey": json.dumps(answer), **fields})


def use(client: Client, address: str, authenticator: Authenticator, **fields: str) -> Any:
    """Opens the page and sends the answer of the authenticator."""
    return send(client, address, authenticator.get(options_in(client.get(address))), **fields)


def add(client: Client, **fields: str) -> Any:
    answer = Authenticator().create(options_in(client.get(FACTORS)))
    return send(client, FACTORS, answer, operation="passkey", **fields)


def test_a_passkey_alone_signs_in(authenticator: Authenticator) -> None:
    client = Client()
    page = text(client.get(LOGIN))
    assert 'autocomplete="username webauthn"' in page
    assert "Use a passkey" in page
    answer = use(client, LOGIN, authenticator, next=ROLES)
    assert (answer.status_code, answer["Location"]) == (302, ROLES)
    assert is_in(client)
    session = Session.objects.active().get()
    assert session.amr == "pop user mfa"
    assert session.expires_at - session.created_at == timedelta(hours=12)


@pytest.mark.parametrize(
    "sent", ["", "{", "[]", "{}", '{"rawId": 1}', "[" * 10_000, "9" * 10_000, '{"rawId": "\\ud800"}']
)
@pytest.mark.parametrize("address", [LOGIN, SECOND, CONFIRM, FACTORS])
def test_a_malformed_answer_is_rejected(authenticator: Authenticator, address: str, sent: str) -> None:
    client = Client()
    if address == SECOND:
        send_password(client)
    elif address != LOGIN:
        use(client, LOGIN, authenticator)
    answer = client.post(address, {"passkey": sent, "operation": "passkey"})
    assert answer.status_code == 200
    assert "passkey was not accepted" in text(answer)
    assert is_in(client) == (address in {CONFIRM, FACTORS})


def test_a_user_without_access_is_not_signed_in_by_a_passkey(ana: User) -> None:
    authenticator = add_passkey(ana)
    client = Client()
    answer = use(client, LOGIN, authenticator)
    assert "Your account doesn't have access to the admin panel." in text(answer)
    assert not is_in(client)
    assert not Session.objects.active().exists()
    assert AuditEvent.objects.filter(kind="login:failed", user_id=ana.pk).count() == 1


def test_a_passkey_of_another_user_signs_the_first_out(
    root: User, authenticator: Authenticator, panel_of: Panel
) -> None:
    client = panel_of(root)
    options = options_in(Client().get(LOGIN))
    assert send(client, LOGIN, authenticator.get(options), next=HOME)["Location"] == HOME
    assert Session.objects.active().get().user.email == "carla@example.com"


def test_passkeys_can_be_second_factors_only(authenticator: Authenticator, settings: Settings) -> None:
    answer = authenticator.get(options_in(Client().get(LOGIN)))
    settings.PASSKEY_LOGIN = False
    client = Client()
    page = text(client.get(LOGIN))
    assert "passkey" not in page
    assert "webauthn" not in page
    assert send(client, LOGIN, answer).status_code == 200
    assert not is_in(client)


def test_a_passkey_is_the_second_step(authenticator: Authenticator) -> None:
    authenticator.flags = UP
    client = Client()
    send_password(client)
    assert "Use a passkey" in text(client.get(SECOND))
    answer = use(client, SECOND, authenticator, next=ROLES)
    assert (answer.status_code, answer["Location"]) == (302, ROLES)
    assert is_in(client)
    assert Session.objects.active().get().amr == "pwd pop mfa"


def test_the_second_step_accepts_no_challenge_of_the_login_page(authenticator: Authenticator) -> None:
    client = Client()
    send_password(client)
    answer = send(client, SECOND, authenticator.get(options_in(Client().get(LOGIN))))
    assert "was not accepted" in text(answer)
    assert "Use a passkey" in text(answer)
    assert not is_in(client)


def test_pages_offer_only_what_the_user_has(carla: User, panel_of: Panel) -> None:
    assert "Use a passkey" not in text(panel_of(carla).get(CONFIRM))
    phone = enrol(carla)
    client = Client()
    send_password(client)
    page = text(client.get(SECOND))
    assert "Use a passkey" not in page
    assert "your authenticator app shows" in page
    TotpSecret.objects.all().delete()
    add_passkey(carla)
    send_password(client)
    page = text(client.get(SECOND))
    assert "Use a passkey" in page
    assert "Use your passkey, or enter one of your recovery codes." in page
    assert "authenticator app" not in page
    assert "Passkeys need JavaScript" in page
    assert client.post(SECOND, {"code": phone.recovery_codes[0]})["Location"] == HOME


def test_a_passkey_confirms_that_it_is_the_user(authenticator: Authenticator) -> None:
    client = Client()
    use(client, LOGIN, authenticator)
    make_stale()
    assert client.get(PASSWORDS)["Location"].startswith(CONFIRM)
    assert "Use your passkey, or enter one of your recovery codes." in text(client.get(CONFIRM))
    answer = use(client, CONFIRM, authenticator, next=PASSWORDS)
    assert (answer.status_code, answer["Location"]) == (302, PASSWORDS)
    assert Session.objects.active().get().stepped_up_at
    assert client.get(PASSWORDS).status_code == 200


def test_a_passkey_is_added_with_a_name(carla: User, panel_of: Panel) -> None:
    client, elsewhere = panel_of(carla), panel_of(carla)
    assert text(add(client, name=" Laptop ")).count("<li><code>") == 10
    assert Passkey.objects.get().name == "Laptop"
    assert is_in(client)
    assert not is_in(elsewhere)
    assert 'value="Laptop"' in text(client.get(FACTORS))
    assert add(client, name="")["Location"] == FACTORS
    assert "The second factor was added." in text(client.get(FACTORS))
    assert set(Passkey.objects.values_list("name", flat=True)) == {"Laptop", "Passkey"}
    assert "Give the second factor a name" in text(add(client, name="x" * 65))
    assert Passkey.objects.count() == 2


def test_the_name_that_the_page_suggests_is_in_the_language_of_the_user(carla: User, panel_of: Panel) -> None:
    User.objects.filter(pk=carla.pk).update(locale="es")
    page = text(panel_of(carla).get(FACTORS, headers={"Accept-Language": "en"}))
    assert 'id="passkey-name" value="Clave de acceso"' in page
    assert "Add a passkey" in page


def test_a_passkey_needs_a_fresh_login(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    answer = Authenticator().create(options_in(client.get(FACTORS)))
    make_stale()
    assert 'data-options=""' in text(client.get(FACTORS))
    assert send(client, FACTORS, answer, operation="passkey")["Location"].startswith(CONFIRM)
    assert not Passkey.objects.exists()


def test_a_role_without_second_factors_adds_no_passkey(carla: User, panel_of: Panel) -> None:
    client = panel_of(carla)
    answer = Authenticator().create(options_in(client.get(FACTORS)))
    Role.objects.filter(pk=carla.role_id).update(mfa="off")
    assert 'data-options=""' in text(client.get(FACTORS))
    assert "Your role allows no second factors." in text(send(client, FACTORS, answer, operation="passkey"))
    assert not Passkey.objects.exists()


def test_a_user_who_must_enrol_adds_a_passkey_and_is_signed_in(carla: User, settings: Settings) -> None:
    settings.MFA_GRACE = timedelta()
    Role.objects.filter(pk=carla.role_id).update(mfa="required")
    client = Client()
    send_password(client)
    assert not is_in(client)
    answer = add(client, name="Laptop", next=ROLES)
    assert text(answer).count("<li><code>") == 10
    assert f'href="{ROLES}"' in text(answer)
    assert is_in(client)
    session = Session.objects.active().get()
    assert session.amr == "pwd pop user mfa"
    assert session.expires_at - session.created_at == timedelta(hours=12)


def test_the_forms_of_passkeys_are_hidden_without_the_script(authenticator: Authenticator) -> None:
    client = Client()
    pages = [text(client.get(LOGIN))]
    send_password(client)
    pages.append(text(client.get(SECOND)))
    use(client, LOGIN, authenticator)
    pages += [text(client.get(CONFIRM)), text(client.get(FACTORS))]
    for page in pages:
        (form,) = re.findall(r"<form[^>]*data-passkey[^>]*>", page)
        assert form.endswith(" hidden>")
        assert "accounts/passkeys" in page


def test_no_user_is_offered_to_reset_their_own_factors(root: User, ana: User) -> None:
    authenticator = add_passkey(root)
    enrol(ana)
    client = Client()
    use(client, LOGIN, authenticator)
    assert "/do/reset-factors/" in text(client.get(f"/admin/accounts/user/{ana.pk}/change/"))
    assert "/do/reset-factors/" not in text(client.get(f"/admin/accounts/user/{root.pk}/change/"))
