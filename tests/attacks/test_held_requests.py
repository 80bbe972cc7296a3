"""A client starts a request with permissions, and completes it after losing them. The request changes nothing."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.attacks.client import Call, held_open
from tests.attacks.service import API, PASSWORD, Person, Service, log_in, new_address

ALL_BUT_ROLES = [
    "users.add",
    "users.change",
    "users.delete",
    "users.view",
    "roles.assign",
    "roles.change",
    "roles.view",
]


def demoted(root: Person, dora: Person) -> None:
    root.must(200, "PATCH", f"users/{dora.id}/", role="user")


def suspended(root: Person, dora: Person) -> None:
    root.must(200, "POST", f"users/{dora.id}/suspend/")


def signed_out(root: Person, dora: Person) -> None:
    root.must(204, "DELETE", f"users/{dora.id}/sessions/")


def deleted(root: Person, dora: Person) -> None:
    root.must(204, "DELETE", f"users/{dora.id}/")


@pytest.mark.parametrize("lose", [demoted, suspended, signed_out, deleted])
def test_permissions_that_were_lost_meanwhile_do_not_count(
    lose: Callable[[Person, Person], None],
    service: Service,
    root: Person,
    ana: Person,
    with_role: Callable[..., Person],
) -> None:
    dora, accomplice = with_role("dora", *ALL_BUT_ROLES), new_address("accomplice")
    role = dora.must(200, "GET", "users/me/")["role"]
    calls = [
        dora.call("PATCH", f"users/{dora.id}/", role=role),
        dora.call("POST", "users/", email=accomplice, password=PASSWORD, role=role),
        dora.call("PATCH", f"users/{ana.id}/", email=new_address("hijacked")),
        dora.call("POST", f"users/{ana.id}/suspend/", reason="revenge"),
        dora.call("POST", "roles/", name=f"spare-{dora.id}", permissions=["users.delete"]),
        Call("DELETE", f"{API}users/{ana.id}/", dora.access),
    ]
    before = root.must(200, "GET", f"users/{ana.id}/")
    with ExitStack() as stack:
        finishes = [stack.enter_context(held_open(service.address, call)) for call in calls]
        lose(root, dora)
        own, *others = [finish() for finish in finishes]
    assert own.status == (200 if lose is demoted else 401)  # fields that a user may not set are ignored
    assert {answer.status for answer in others} <= {401, 403, 404}
    assert root.must(200, "GET", f"users/{ana.id}/") == before
    assert root.must(200, "GET", f"users/?search={accomplice}")["results"] == []
    assert root.ask("GET", f"roles/spare-{dora.id}/").status == 404
    assert lose is deleted or root.must(200, "GET", f"users/{dora.id}/")["role"] == (
        "user" if lose is demoted else role
    )


def test_a_password_that_was_reset_meanwhile_cannot_change_the_address(service: Service, ana: Person) -> None:
    stolen = log_in(service, ana.email)
    new = new_address("thief")
    service.must(202, "POST", "auth/password/reset/", email=ana.email)
    token = service.office.token_to(ana.email, "reset-password")
    move = stolen.call("POST", "auth/email/change/", new_email=new, current_password=PASSWORD)
    with held_open(service.address, move) as finish:
        service.must(204, "POST", "auth/password/reset/confirm/", token=token, new_password="fennel gazebo hamlet")
        assert finish().status in (400, 401)
    ana = log_in(service, ana.email, "fennel gazebo hamlet")
    kinds = [event["kind"] for event in ana.must(200, "GET", "users/me/audit/")["results"]]
    assert "email:change_requested" not in kinds
