"""The second step can't be skipped, guessed, replayed or raced, and nothing that is read later holds its secrets."""

import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.client import Answer, Call
from tests.attacks.conftest import from_ip, new_ip
from tests.attacks.second_factors import SECOND, Protected, bearer, protect, second
from tests.attacks.service import OTHER_PASSWORD, PASSWORD, Person, Service, post

EIGHT, LIMIT = 8, 5


@pytest.fixture
def ana(new_ana: Callable[[], Person]) -> Protected:
    return protect(new_ana())


def codes(answers: list[Answer]) -> Counter[str]:
    return Counter(answer.code for answer in answers)


def shown(answer: Answer) -> dict[str, object]:
    """Returns the body without the id of the request."""
    return {**answer.json(), "instance": None}


def test_the_password_alone_signs_nobody_in(service: Service, ana: Protected) -> None:
    answer = service.ask("POST", "auth/login/", email=ana.person.email, password=PASSWORD)
    assert answer.code == "second_factor_required"
    assert not {"access", "refresh", "user"} & set(answer.json())
    assert "Set-Cookie" not in answer.headers
    assert len(ana.person.must(200, "GET", "users/me/sessions/")["results"]) == 1


def test_a_wrong_password_tells_nothing_of_a_second_factor(
    service: Service, ana: Protected, new_ana: Callable[[], Person]
) -> None:
    wrong = [post("auth/login/", email=one.email, password="wrong") for one in (ana.person, new_ana())]
    with_factor, without = (service.send(call) for call in wrong)
    assert with_factor.status == 401
    assert shown(with_factor) == shown(without)
    assert set(with_factor.headers) == set(without.headers)


def test_the_token_of_a_pending_login_is_no_other_token(service: Service, ana: Protected) -> None:
    token = ana.mfa_token()
    assert service.send(bearer("users/me/", token)).code == "token_not_valid"
    assert service.ask("POST", "auth/token/refresh/", refresh=token).code == "token_not_valid"
    assert service.ask("POST", "auth/token/verify/", token=token).code == "token_not_valid"
    reset = service.ask("POST", "auth/password/reset/confirm/", token=token, new_password=OTHER_PASSWORD)
    assert reset.code == "invalid_token"
    assert service.ask("POST", "auth/totp/", mfa_token=token).code == "invalid_token"
    assert service.send(second(token, code=ana.phone.code())).status == 200


def test_a_used_and_a_changed_token_get_the_same_answer(service: Service, ana: Protected) -> None:
    used, other = ana.mfa_token(), ana.mfa_token()
    assert service.send(second(used, code=ana.phone.code())).status == 200
    changed = other[:-2] + ("AA" if other[-2:] != "AA" else "BB")
    answers = [service.send(second(token, code=ana.phone.code())) for token in (used, changed, "x")]
    assert codes(answers) == {"invalid_token": 3}
    assert shown(answers[0]) == shown(answers[1]) == shown(answers[2])


def test_a_code_and_those_before_it_work_once(ana: Protected) -> None:
    code, later = ana.phone.code(), ana.phone.code()
    assert ana.second(code=later).status == 200
    assert ana.second(code=later).code == "invalid_second_factor"
    assert ana.second(code=code).code == "invalid_second_factor"


def test_five_wrong_codes_end_a_pending_login_and_the_sixth_attempt_is_throttled(
    service: Service, ana: Protected
) -> None:
    token = ana.mfa_token()
    wrong = [service.send(second(token, code=f"00000{number}x")) for number in range(LIMIT)]
    assert codes(wrong) == {"invalid_second_factor": LIMIT}
    assert service.send(second(token, code=ana.phone.code())).code == "invalid_token"
    for proof in ({"code": ana.phone.code()}, {"recovery_code": ana.recovery_codes[0]}):
        assert ana.second(**proof).code == "throttled"


def test_the_limit_holds_over_pending_logins_addresses_and_servers(
    service: Service, guarded: Service, ana: Protected
) -> None:
    for number in range(LIMIT):
        call = second(ana.mfa_token(), code="wrong")
        if number % 2:
            call = Call(call.method, call.path, body=call.body, headers=from_ip(new_ip()))
        assert (guarded if number % 2 else service).send(call).code == "invalid_second_factor"
    assert ana.second(code=ana.phone.code()).code == "throttled"
    assert ana.person.ask("POST", "auth/step-up/", recovery_code=ana.recovery_codes[0]).code == "throttled"


@pytest.mark.parametrize("tokens", [1, EIGHT])
@pytest.mark.parametrize("proof", ["code", "recovery_code"])
def test_of_eight_requests_with_one_proof_one_signs_in(
    service: Service, ana: Protected, proof: str, tokens: int
) -> None:
    pending = [ana.mfa_token() for _login in range(tokens)]
    text = ana.phone.code() if proof == "code" else ana.recovery_codes[0]
    answers = service.at_once([second(pending[place % tokens], **{proof: text}) for place in range(EIGHT)])
    assert codes(answers)[""] == 1
    assert codes(answers).keys() <= {"", "invalid_second_factor", "invalid_token", "throttled"}
    [winner] = [answer.json() for answer in answers if answer.status == 200]
    assert len(service.must(200, "GET", "users/me/sessions/", winner["access"])["results"]) == 2


def test_a_recovery_code_may_be_written_in_many_ways(ana: Protected) -> None:
    spelled = ana.recovery_codes[0].lower().replace("-", "").replace("0", "o").replace("1", "l")
    assert ana.second(recovery_code=spelled).status == 200


@pytest.mark.parametrize("text", ["", "random", "0" * 4096, "ñ-\x00-😀", "' OR 1=1 --"])
def test_no_other_text_is_a_proof(ana: Protected, text: str) -> None:
    for proof in ("code", "recovery_code"):
        assert ana.second(**{proof: text}).code in ("invalid_second_factor", "validation_error")


def test_the_recovery_code_of_another_user_is_a_wrong_one(ana: Protected, new_ana: Callable[[], Person]) -> None:
    other = protect(new_ana())
    assert ana.second(recovery_code=other.recovery_codes[0]).code == "invalid_second_factor"
    assert other.second(recovery_code=other.recovery_codes[0]).status == 200


def test_the_password_steps_nobody_up_who_has_a_factor(ana: Protected) -> None:
    assert ana.person.ask("POST", "auth/step-up/", password=PASSWORD).code == "invalid_second_factor"
    before = ana.person.refresh
    assert ana.person.must(200, "POST", "auth/step-up/", code=ana.phone.code())["refresh"] != before
    assert ana.person.service.ask("POST", "auth/token/refresh/", refresh=before).code == "token_not_valid"


READ = ["users/me/", "users/me/sessions/", "users/me/audit/?page_size=200", "users/me/export/", "users/me/factors/"]
READ_BY_ADMIN = ["users/{id}/", "users/{id}/sessions/", "users/{id}/audit/?page_size=200", "audit/?page_size=200"]


def test_nothing_that_is_read_later_holds_a_secret(service: Service, root: Person, ana: Protected) -> None:
    token, code = ana.mfa_token(), ana.phone.code()
    service.must(200, "POST", SECOND, mfa_token=token, code=code)
    assert ana.second(recovery_code=ana.recovery_codes[1]).status == 200
    read = [ana.person.ask("GET", path) for path in READ]
    read += [root.ask("GET", path.format(id=ana.person.id)) for path in READ_BY_ADMIN]
    assert {answer.status for answer in read} == {200}
    logs = [path.read_text() for path in Path(service.data_dir).glob("log-*.txt")]
    assert logs
    for text in [*(answer.text for answer in read), *logs]:
        for secret in (ana.secret, "otpauth", token, *ana.recovery_codes):
            assert secret.lower() not in text.lower()
            assert secret.replace("-", "").lower() not in text.lower()
        assert f'"{code}"' not in text


def test_an_unknown_enrolment_is_no_oracle(ana: Protected, new_ana: Callable[[], Person]) -> None:
    """The enrolment of another user gets the response of one that does not exist."""
    theirs = ana.person.must(201, "POST", "auth/totp/")["id"]
    stranger = new_ana()
    unknown = f"{theirs[:-12]}{secrets.token_hex(6)}"
    answers = [stranger.ask("POST", "auth/totp/confirm/", id=one, code="123456") for one in (theirs, unknown)]
    assert codes(answers) == {"invalid_token": 2}
    assert shown(answers[0]) == shown(answers[1])
