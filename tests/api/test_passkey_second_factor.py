"""A user with a passkey uses it after the password, and to authenticate again in a session."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from tests.api.test_passkeys import claims_of, post, sign_in
from tests.authenticator import UP, UV
from tests.conftest import PASSWORD, refused
from tests.second_factors import add_passkey, enrol

pytestmark = pytest.mark.django_db


def pending(client: APIClient, user: User) -> dict[str, Any]:
    """Sends the password, and returns the error that asks for the second factor."""
    document: dict[str, Any] = refused(
        post(client, "login/", email=user.email, password=PASSWORD), 403, "second_factor_required"
    )
    return document


@pytest.mark.parametrize("flags", [UP, UP | UV])
def test_a_passkey_works_after_the_password(stranger: APIClient, ana: User, flags: int) -> None:
    authenticator = add_passkey(ana)
    authenticator.flags, authenticator.handle = flags, None
    document = pending(stranger, ana)
    assert document["methods"] == ["passkey", "recovery_code"]
    assert document["passkey"]["userVerification"] == "discouraged"
    assert len(document["passkey"]["allowCredentials"]) == 1
    answer = authenticator.get(document["passkey"])
    finished = post(stranger, "login/second-factor/", mfa_token=document["mfa_token"], passkey=answer)
    assert finished.status_code == 200
    assert set(claims_of(finished)["amr"]) == {"pwd", "pop", "mfa", *(["user"] if flags & UV else [])}


def test_without_a_passkey_there_are_no_options(stranger: APIClient, ana: User) -> None:
    enrol(ana)
    document = pending(stranger, ana)
    assert "passkey" not in document


def test_a_passkey_works_in_a_step_up(ana: User) -> None:
    authenticator = add_passkey(ana)
    client = APIClient()
    signed_in = sign_in(client, authenticator)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in.json()['access']}")
    options = post(client, "step-up/options/").json()
    assert len(options["allowCredentials"]) == 1
    authenticator.flags = UP
    answer = post(client, "step-up/", passkey=authenticator.get(options))
    assert answer.status_code == 200
    assert claims_of(answer)["sid"] == claims_of(signed_in)["sid"]
    refused(post(APIClient(), "step-up/options/"), 401, "not_authenticated")


def test_a_passkey_of_another_user_is_rejected(stranger: APIClient, ana: User, bruno: User) -> None:
    add_passkey(ana)
    foreign = add_passkey(bruno)
    foreign.handle = None
    document = pending(stranger, ana)
    answer = foreign.get(document["passkey"])
    finished = post(stranger, "login/second-factor/", mfa_token=document["mfa_token"], passkey=answer)
    refused(finished, 401, "invalid_second_factor")


def test_wrong_answers_end_the_pending_login(stranger: APIClient, ana: User) -> None:
    authenticator = add_passkey(ana)
    document = pending(stranger, ana)
    token, right = document["mfa_token"], authenticator.get(document["passkey"])
    for _attempt in range(5):
        answer = post(stranger, "login/second-factor/", mfa_token=token, passkey={"rawId": 1})
        refused(answer, 401, "invalid_second_factor")
    refused(post(stranger, "login/second-factor/", mfa_token=token, passkey=right), 400, "invalid_token")
