"""The service answers as its own description says, whatever it is asked (schemathesis)."""

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

from accounts import access_tokens, login
from accounts.models import User
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
    """The header of somebody, with a new session each time: one of the calls logs out."""
    if request.param == "nobody":
        return dict
    user: User = request.getfixturevalue(request.param)
    user.set_password(OTHER_PASSWORD)  # not that of the examples, one of which deletes the account
    user.save(update_fields=["password"])

    def sign_in() -> dict[str, str]:
        session, _refresh = login.open_session(User.objects.get(pk=user.pk))
        return {"Authorization": f"Bearer {access_tokens.issue(session)}"}

    return sign_in


@pytest.mark.django_db
@schema.parametrize()
@EXAMPLES
def test_every_answer_is_described(case: "schemathesis.Case[Any]", authorization: Callable[[], dict[str, str]]) -> None:
    case.call_and_validate(headers=authorization(), checks=CHECKS)
