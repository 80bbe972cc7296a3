"""Every response of the service conforms to its OpenAPI document (schemathesis)."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts import login
from accounts.jwt import access_tokens
from accounts.mfa import proofs
from accounts.models import Session, User
from tests.conftest import OTHER_PASSWORD
from usermanager.wsgi import application

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)

schema = schemathesis.openapi.from_wsgi("/api/schema/", application)


@pytest.fixture(params=["nobody", "ana", "root"])
def authorization(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Returns a function that makes headers. They are of a new session after an operation that ended the last one."""
    if request.param == "nobody":
        return dict
    user: User = request.getfixturevalue(request.param)
    user.set_password(OTHER_PASSWORD)  # other than in the examples, one of which deletes the account
    user.save(update_fields=["password"])

    session: Session | None = None
    headers: dict[str, str] = {}

    def sign_in() -> dict[str, str]:
        nonlocal session, headers
        if session is None or not Session.objects.active().filter(pk=session.pk).exists():
            session = login.open_session(User.objects.get(pk=user.pk), proofs.PASSWORD)[0]
            headers = {"Authorization": f"Bearer {access_tokens.issue(session)}"}
        return headers

    return sign_in


@pytest.mark.django_db
@schema.parametrize()
@EXAMPLES
def test_every_response_is_documented(
    case: "schemathesis.Case[Any]", authorization: Callable[[], dict[str, str]]
) -> None:
    case.call_and_validate(headers=authorization(), checks=CHECKS)
