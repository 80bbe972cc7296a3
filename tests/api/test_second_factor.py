"""A user with an authenticator app finishes a login with its code or with a recovery code."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import passwords, second_factor, users
from accounts.errors import AccountError
from accounts.jwt import access_tokens
from accounts.mfa import attempts, pending_logins
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import AuditEvent, PendingLogin, Session, TotpSecret, User
from accounts.one_time_tokens import Purpose, issue
from tests.conftest import OTHER_PASSWORD, PASSWORD, refused
from tests.second_factors import Phone, enrol

pytestmark = pytest.mark.django_db
LOGIN = "/api/v1/auth/login/"
SECOND = "/api/v1/auth/login/second-factor/"


@pytest.fixture
def phone(ana: User) -> Phone:
    return enrol(ana)


@pytest.fixture
def _limits(settings: Any) -> None:
    settings.RATE_LIMITS = True


def pending(client: APIClient) -> str:
    """Sends the password, and returns the token of the pending login."""
    answer = client.post(LOGIN, {"email": "ana@example.com", "password": PASSWORD}, format="json")
    return str(refused(answer, 403, "second_factor_required")["mfa_token"])


def finish(client: APIClient, **proof: Any) -> Any:
    """Sends the password, and then the proof."""
    return client.post(SECOND, {"mfa_token": pending(client), **proof}, format="json")


@pytest.mark.usefixtures("phone")
def test_the_right_password_alone_opens_no_session(stranger: APIClient, ana: User) -> None:
    answer = stranger.post(LOGIN, {"email": "ana@example.com", "password": PASSWORD}, format="json")
    document = refused(answer, 403, "second_factor_required")
    assert set(document["methods"]) == {"totp", "recovery_code"}
    assert document["expires_in"] == 300
    assert not {"access", "refresh", "user"} & set(document)
    assert not answer.cookies
    assert not Session.objects.exists()
    assert not AuditEvent.objects.filter(kind="session:opened", created_at__gt=ana.updated_at).exists()


def test_a_code_opens_a_session_with_both_factors(stranger: APIClient, phone: Phone) -> None:
    answer = finish(stranger, code=phone.code())
    assert answer.status_code == 200
    assert answer.json()["user"]["mfa_enabled"] is True
    session = access_tokens.find_session(answer.json()["access"])
    claims = access_tokens.SessionAccessToken(answer.json()["access"])
    assert set(claims["amr"]) == {"pwd", "otp", "mfa"}
    assert claims["acr"] == session.acr == "aal2"
    assert claims["auth_time"] == int(session.created_at.timestamp())


def test_refreshing_keeps_the_level(stranger: APIClient, phone: Phone) -> None:
    signed_in = finish(stranger, code=phone.code()).json()
    fresh = stranger.post("/api/v1/auth/token/refresh/", {"refresh": signed_in["refresh"]}, format="json").json()[
        "access"
    ]
    before, after = (access_tokens.SessionAccessToken(token) for token in (signed_in["access"], fresh))
    for claim in ("acr", "amr", "auth_time", "sid"):
        assert before[claim] == after[claim]


def test_a_code_works_once(stranger: APIClient, phone: Phone) -> None:
    code = phone.code()
    assert finish(stranger, code=code).status_code == 200
    refused(finish(stranger, code=code), 401, "invalid_second_factor")
    assert finish(stranger, code=phone.code()).status_code == 200


def test_a_code_of_an_earlier_step_is_rejected(stranger: APIClient, phone: Phone) -> None:
    earlier, later = phone.code(), phone.code()
    assert finish(stranger, code=later).status_code == 200
    refused(finish(stranger, code=earlier), 401, "invalid_second_factor")


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "+12345", "１２３４５６", "١٢٣٤٥٦", "abcdef", "0x1234", "1" * 1000]
)
@pytest.mark.usefixtures("phone")
def test_any_other_text_is_a_wrong_code(stranger: APIClient, text: str) -> None:
    refused(finish(stranger, code=text), 401, "invalid_second_factor")


def test_spaces_in_a_code_are_ignored(stranger: APIClient, phone: Phone) -> None:
    code = phone.code()
    assert finish(stranger, code=f" {code[:3]} {code[3:]} ").status_code == 200


@pytest.mark.parametrize(
    "spelling", [str, str.lower, lambda code: code.replace("-", ""), lambda code: code.replace("0", "o")]
)
def test_a_recovery_code_works_once_in_any_spelling(
    stranger: APIClient, ana: User, phone: Phone, spelling: Any
) -> None:
    code = phone.recovery_codes[0]
    answer = finish(stranger, recovery_code=spelling(code))
    assert answer.status_code == 200
    session = access_tokens.find_session(answer.json()["access"])
    assert set(session.methods) == {"pwd", "recovery", "mfa"}
    refused(finish(stranger, recovery_code=code), 401, "invalid_second_factor")
    assert AuditEvent.objects.get(kind="recovery_code:used").data == {"left": 9}


def test_a_recovery_code_of_another_user_is_rejected(stranger: APIClient, bruno: User, phone: Phone) -> None:
    foreign = enrol(bruno).recovery_codes[0]
    refused(finish(stranger, recovery_code=foreign), 401, "invalid_second_factor")
    assert phone.recovery_codes
    assert bruno.recovery_codes.filter(used_at=None).count() == 10


@pytest.mark.parametrize(
    "proof", [{}, {"code": "123456", "recovery_code": "x"}, {"code": 123456}, {"code": None}, {"passkey": "x"}]
)
@pytest.mark.usefixtures("phone")
def test_one_proof_is_needed(stranger: APIClient, proof: dict[str, Any]) -> None:
    refused(finish(stranger, **proof), 400, "validation_error")
    assert PendingLogin.objects.get().attempts == 0


def test_a_pending_login_is_used_up(stranger: APIClient, phone: Phone) -> None:
    token = pending(stranger)
    assert stranger.post(SECOND, {"mfa_token": token, "code": phone.code()}, format="json").status_code == 200
    refused(stranger.post(SECOND, {"mfa_token": token, "code": phone.code()}, format="json"), 400, "invalid_token")
    assert Session.objects.count() == 1


def test_a_pending_login_expires(stranger: APIClient, phone: Phone) -> None:
    token = pending(stranger)
    PendingLogin.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refused(stranger.post(SECOND, {"mfa_token": token, "code": phone.code()}, format="json"), 400, "invalid_token")


def test_an_unknown_token_is_rejected(stranger: APIClient, phone: Phone) -> None:
    token = pending(stranger)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in (changed, "x", "ñ" * 100):
        refused(stranger.post(SECOND, {"mfa_token": wrong, "code": phone.code()}, format="json"), 400, "invalid_token")
        refused(stranger.post("/api/v1/auth/token/refresh/", {"refresh": token}, format="json"), 401, "token_not_valid")
        refused(stranger.post("/api/v1/auth/token/verify/", {"token": token}, format="json"), 401, "token_not_valid")


def test_five_wrong_codes_end_a_pending_login_without_rate_limits_too(stranger: APIClient, phone: Phone) -> None:
    token = pending(stranger)
    for _attempt in range(5):
        refused(stranger.post(SECOND, {"mfa_token": token, "code": "x"}, format="json"), 401, "invalid_second_factor")
    refused(stranger.post(SECOND, {"mfa_token": token, "code": phone.code()}, format="json"), 400, "invalid_token")


@pytest.mark.usefixtures("_limits")
def test_the_sixth_attempt_of_a_window_is_throttled(stranger: APIClient, phone: Phone) -> None:
    for _attempt in range(5):
        refused(finish(stranger, code="x"), 401, "invalid_second_factor")
    token = pending(stranger)
    for proof in ({"code": phone.code()}, {"recovery_code": phone.recovery_codes[0]}):
        answer = stranger.post(SECOND, {"mfa_token": token, **proof}, format="json")
        refused(answer, 429, "throttled")
        assert int(answer["Retry-After"]) > 0
    assert not Session.objects.exists()


@pytest.mark.parametrize("lifted", [False, True])
@pytest.mark.usefixtures("_limits")
def test_unlocking_lifts_the_limit_and_a_reset_does_not(
    stranger: APIClient, ana: User, root: User, phone: Phone, lifted: bool
) -> None:
    for _attempt in range(5):
        refused(finish(stranger, code="x"), 401, "invalid_second_factor")
    if lifted:
        users.unlock(ana, actor=root)
        assert finish(stranger, code=phone.code()).status_code == 200
    else:
        secret = issue(ana, Purpose.PASSWORD_RESET, request=ana.pk, email=ana.email)
        passwords.reset(secret, OTHER_PASSWORD)
        passwords.reset(issue(ana, Purpose.PASSWORD_RESET, request=root.pk, email=ana.email), PASSWORD)
        refused(finish(stranger, code=phone.code()), 429, "throttled")


@pytest.mark.usefixtures("_limits")
def test_a_success_resets_the_limit(stranger: APIClient, phone: Phone) -> None:
    for _attempt in range(4):
        refused(finish(stranger, code="x"), 401, "invalid_second_factor")
    assert finish(stranger, code=phone.code()).status_code == 200
    for _attempt in range(4):
        refused(finish(stranger, code="x"), 401, "invalid_second_factor")


def test_too_many_wrong_codes_in_a_row_leave_only_the_recovery_codes(
    stranger: APIClient, settings: Any, ana: User, phone: Phone
) -> None:
    settings.RATE_LIMITS = True
    settings.RATE_SECOND_FACTOR_ROW = settings.RATE_SECOND_FACTOR_ROW._replace(limit=2)
    for _attempt in range(2):
        refused(finish(stranger, code="x"), 401, "invalid_second_factor")
    refused(finish(stranger, code=phone.code()), 429, "throttled")
    assert finish(stranger, recovery_code=phone.recovery_codes[0]).status_code == 200
    assert finish(stranger, code=phone.code()).status_code == 200


def test_a_failure_is_recorded(stranger: APIClient, ana: User, phone: Phone) -> None:
    finish(stranger, code="x")
    event = AuditEvent.objects.filter(kind="login:failed").latest("id")
    assert (event.user_id, event.actor_id) == (ana.pk, None)
    assert event.data == {"code": "invalid_second_factor", "method": "totp"}
    assert AuditEvent.objects.filter(kind="login:pending", user_id=ana.pk).exists()


@pytest.mark.parametrize("change", ["suspend", "delete", "reset"])
def test_a_change_of_the_user_ends_the_pending_login(
    stranger: APIClient, ana: User, root: User, phone: Phone, change: str
) -> None:
    token = pending(stranger)
    if change == "suspend":
        users.suspend(ana, actor=root)
        users.activate(ana, actor=root)
    elif change == "delete":
        users.delete(ana, actor=root)
    else:
        passwords.reset(issue(ana, Purpose.PASSWORD_RESET, request=ana.pk, email=ana.email), OTHER_PASSWORD)
    refused(stranger.post(SECOND, {"mfa_token": token, "code": phone.code()}, format="json"), 400, "invalid_token")
    assert not Session.objects.exists()


def test_a_user_has_at_most_ten_pending_logins(stranger: APIClient, phone: Phone) -> None:
    tokens = [pending(stranger) for _login in range(11)]
    assert PendingLogin.objects.count() == 10
    refused(stranger.post(SECOND, {"mfa_token": tokens[0], "code": phone.code()}, format="json"), 400, "invalid_token")
    assert stranger.post(SECOND, {"mfa_token": tokens[1], "code": phone.code()}, format="json").status_code == 200


def test_a_password_reset_keeps_the_factor(stranger: APIClient, ana: User, phone: Phone) -> None:
    secret = TotpSecret.objects.get().secret
    passwords.reset(issue(ana, Purpose.PASSWORD_RESET, request=ana.pk, email=ana.email), OTHER_PASSWORD)
    refused(
        stranger.post(LOGIN, {"email": ana.email, "password": OTHER_PASSWORD}, format="json"),
        403,
        "second_factor_required",
    )
    assert TotpSecret.objects.get().secret == secret
    assert ana.recovery_codes.filter(used_at=None).count() == 10


def test_an_undecryptable_secret_is_a_wrong_code(stranger: APIClient, ana: User, phone: Phone) -> None:
    TotpSecret.objects.update(secret=b"\x01" * 40)
    refused(finish(stranger, code=phone.code()), 401, "invalid_second_factor")
    assert finish(stranger, recovery_code=phone.recovery_codes[0]).status_code == 200


def test_a_secret_moved_to_another_row_does_not_work(stranger: APIClient, ana: User, bruno: User, phone: Phone) -> None:
    own = enrol(bruno)
    TotpSecret.objects.filter(user=ana).update(secret=TotpSecret.objects.get(user=bruno).secret)
    refused(finish(stranger, code=own.code()), 401, "invalid_second_factor")


def test_a_raised_error_leaves_the_proof_unused(ana: User, phone: Phone) -> None:
    """If the login fails after the proof, the user can use the same code again."""
    token, code = pending_logins.begin(ana, PendingLogin.Purpose.LOGIN), phone.code()
    User.objects.filter(pk=ana.pk).update(is_active=False)
    with pytest.raises(AccountError):
        second_factor.finish_login(token, SubmittedProof(code=code))
    User.objects.filter(pk=ana.pk).update(is_active=True)
    attempts.reset(ana)
    assert second_factor.finish_login(token, SubmittedProof(code=code)).session.acr == "aal2"
