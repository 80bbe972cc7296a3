"""The API rejects forged refresh tokens, and valid ones in another spelling."""

import base64

from tests.attacks.service import Person, Service
from tests.attacks.test_forged_tokens import encoded, raw


def test_a_changed_refresh_token_is_rejected(service: Service, ana: Person) -> None:
    token = ana.refresh
    for position in range(0, len(token) - 1, 5):
        other = "A" if token[position] != "A" else "B"
        for forged in (
            token[:position] + other + token[position + 1 :],
            token[: position + 1],
            token + token[position:],
        ):
            assert service.ask("POST", "auth/token/refresh/", refresh=forged).code == "token_not_valid"
            assert service.ask("POST", "auth/logout/", refresh=forged).code == "token_not_valid"
    assert service.ask("POST", "auth/token/refresh/", refresh=token).status == 200


def test_a_refresh_token_has_one_spelling(service: Service, ana: Person) -> None:
    data = raw(ana.refresh)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [
        ana.refresh[:-1] + alphabet[alphabet.index(ana.refresh[-1]) ^ 1],
        ana.refresh + "=",
        base64.b64encode(data).decode(),
        ana.refresh[:9] + "\n" + ana.refresh[9:],
        encoded(data[:17] + (1).to_bytes(4, "big") + data[21:]),
        encoded(b"\2" + data[1:]),
        ana.access,
    ]
    for spelling in spellings:
        if spelling != ana.refresh:
            assert service.ask("POST", "auth/token/refresh/", refresh=spelling).code == "token_not_valid", spelling


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(service: Service, ana: Person) -> None:
    assert service.ask("GET", "users/me/", ana.refresh).code == "token_not_valid"
    assert service.ask("POST", "auth/logout/", refresh=ana.access).code in ("token_not_valid", "validation_error")
    assert ana.ask("GET", "users/me/").status == 200
