"""Concurrent requests use the same address, link or password: one succeeds, and none gets a 500."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.attacks.client import Answer, Call
from tests.attacks.service import (
    ADMIN_PASSWORD,
    API,
    PASSWORD,
    Person,
    Service,
    log_in,
    new_address,
    post,
    register,
)

EIGHT = 8
WORDS = ["abacus", "bellow", "cactus", "damask", "ember", "fennel", "gazebo", "hamlet"]
PASSWORDS = [f"{word} battery staple horse" for word in WORDS]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_an_address_is_registered_once(service: Service) -> None:
    for _round in range(10):
        email = new_address("racer")
        spellings = [email, email.title(), email.upper(), email.replace("example", "EXAMPLE")] * 2
        answers = service.at_once([post("auth/register/", email=one, password=PASSWORD) for one in spellings])
        assert statuses(answers) == {201: 1, 400: 7}
        rejected = [answer.json()["errors"] for answer in answers if answer.status == 400]
        assert {(error["field"], error["code"]) for [error] in rejected} == {("email", "unique")}


def test_an_admin_creates_an_address_once(service: Service, root: Person) -> None:
    for _round in range(5):
        create = root.call("POST", "users/", email=new_address(), password=PASSWORD)
        answers = service.at_once([create] * EIGHT)
        assert statuses(answers) == {201: 1, 400: 7}


def test_five_of_forty_wrong_passwords_are_checked(service: Service, ana: Person) -> None:
    wrong = [post("auth/login/", email=ana.email, password=f"wrong {number}") for number in range(40)]
    answers = service.at_once(wrong)
    assert statuses(answers) == {401: 5, 429: 35}
    assert service.ask("POST", "auth/login/", email=ana.email, password=PASSWORD).code == "throttled"
    events = ana.must(200, "GET", "users/me/audit/?kind=login:failed&page_size=200")["results"]
    assert [event["data"]["code"] for event in events].count("invalid_credentials") == 5


def test_a_reset_link_works_once(service: Service, ana: Person) -> None:
    for _round in range(3):
        service.must(202, "POST", "auth/password/reset/", email=ana.email)
        token = service.office.token_to(ana.email, "reset-password")
        calls = [post("auth/password/reset/confirm/", token=token, new_password=new) for new in PASSWORDS]
        _has_the_password_of_the_winner(service, ana, service.at_once(calls))


def test_a_password_is_changed_once(service: Service, ana: Person) -> None:
    current = PASSWORD
    for words in (PASSWORDS, [f"{new} again" for new in PASSWORDS]):
        calls = [ana.call("POST", "auth/password/change/", current_password=current, new_password=new) for new in words]
        current = _has_the_password_of_the_winner(service, ana, service.at_once(calls), words)


def test_an_invitation_is_accepted_once(service: Service, root: Person) -> None:
    for _round in range(3):
        email = new_address("guest")
        invited = root.must(201, "POST", "users/", email=email)
        token = service.office.token_to(email, "accept-invitation")
        guest = Person(service, invited["id"], email, "", "")
        calls = [post("auth/invitation/accept/", token=token, password=password) for password in PASSWORDS]
        _has_the_password_of_the_winner(service, guest, service.at_once(calls))


def test_an_address_changes_once(service: Service, ana: Person) -> None:
    for _round in range(3):
        new = new_address("moved")
        ana.must(202, "POST", "auth/email/change/", new_email=new, current_password=PASSWORD)
        token = service.office.token_to(new, "change-email")
        answers = service.at_once([post("auth/email/change/confirm/", token=token)] * EIGHT)
        assert statuses(answers) == {204: 1, 400: 7}
        assert {answer.code for answer in answers} == {"", "invalid_token"}
        assert ana.must(200, "GET", "users/me/")["email"] == new
    changes = ana.must(200, "GET", "users/me/audit/?kind=email:changed")["results"]
    assert len(changes) == 3


def test_concurrent_confirmations_all_succeed_and_count_once(service: Service, ana: Person) -> None:
    token = service.office.token_to(ana.email, "verify-email")
    answers = service.at_once([ana.call("POST", "auth/email/verify/", token=token)] * EIGHT)
    assert statuses(answers) == {204: 8}
    assert len(ana.must(200, "GET", "users/me/audit/?kind=email:verified")["results"]) == 1


def test_two_users_cannot_change_to_the_same_address(service: Service, new_ana: Callable[[], Person]) -> None:
    people, target = [new_ana() for _each in range(4)], new_address("wanted")
    for person in people:
        person.must(202, "POST", "auth/email/change/", new_email=target, current_password=PASSWORD)
    tokens = [service.office.token_to(target, "change-email") for _person in people]
    calls = [post("auth/email/change/confirm/", token=token) for token in tokens]
    answers = service.at_once([*calls, post("auth/register/", email=target, password=PASSWORD)])
    assert sum(answer.status in (201, 204) for answer in answers) == 1


def test_an_account_is_deleted_once(service: Service, new_ana: Callable[[], Person]) -> None:
    for _round in range(5):
        ana = new_ana()
        leave = ana.call("DELETE", "users/me/", current_password=PASSWORD)
        again = post("auth/register/", email=ana.email, password=PASSWORD)
        answers = service.at_once([leave, again] * 4)
        assert [answer.status for answer in answers[::2]].count(204) == 1
        assert [answer.status for answer in answers[1::2]].count(201) <= 1
        assert ana.ask("GET", "users/me/").code == "token_not_valid"


def demotion(admin: Person, other: Person) -> Call:
    return admin.call("PATCH", f"users/{other.id}/", role="user")


def suspension(admin: Person, other: Person) -> Call:
    return admin.call("POST", f"users/{other.id}/suspend/")


def suspension_by_change(admin: Person, other: Person) -> Call:
    return admin.call("PATCH", f"users/{other.id}/", is_active=False)


def unconfirmation(admin: Person, other: Person) -> Call:
    return admin.call("PATCH", f"users/{other.id}/", email_verified=False)


def deletion(admin: Person, other: Person) -> Call:
    return admin.call("DELETE", f"users/{other.id}/")


def resignation(admin: Person, other: Person) -> Call:
    return admin.call("PATCH", f"users/{admin.id}/", role="user")


def leaving(admin: Person, other: Person) -> Call:
    return admin.call("DELETE", "users/me/", current_password=admin.password)


@pytest.mark.parametrize(
    "act", [demotion, suspension, suspension_by_change, unconfirmation, deletion, resignation, leaving]
)
def test_of_two_administrators_who_demote_each_other_one_remains(
    act: Callable[[Person, Person], Call], service: Service
) -> None:
    for _round in range(6):
        root = log_in(service, service.admin_email, ADMIN_PASSWORD)
        rival = register(service, "rival", password=ADMIN_PASSWORD)
        root.must(200, "PATCH", f"users/{rival.id}/", role="admin", email_verified=True)
        answers = service.at_once([act(root, rival), act(rival, root)] * 2)
        assert {answer.status for answer in answers} <= {200, 204, 401, 403, 404, 409}
        [survivor] = [person for person in (root, rival) if _is_admin(person)]
        service.admin_email = survivor.email
        admins = survivor.must(200, "GET", "users/?role=admin&is_active=true&email_verified=true")["results"]
        assert [admin["id"] for admin in admins] == [survivor.id]


def test_a_role_is_removed_or_assigned_but_not_both(service: Service, root: Person, ana: Person) -> None:
    for round_ in range(6):
        role = f"fleeting-{ana.id}-{round_}"[:64]
        root.must(201, "POST", "roles/", name=role, permissions=["users.view"])
        give = root.call("PATCH", f"users/{ana.id}/", role=role)
        change = root.call("PATCH", f"roles/{role}/", permissions=["audit.view"])
        remove = root.call("DELETE", f"roles/{role}/")
        answers = service.at_once([give, remove, change, remove])
        assert {answer.status for answer in answers} <= {200, 204, 400, 404, 409}
        has = ana.must(200, "GET", "users/me/")["role"]
        is_there = root.ask("GET", f"roles/{role}/").status == 200
        assert is_there == (has == role)
        assert [answers[1].status, answers[3].status].count(204) == (not is_there)
        root.must(200, "PATCH", f"users/{ana.id}/", role="user")


def test_concurrent_changes_of_one_account_do_not_deadlock(service: Service, root: Person) -> None:
    """Each request locks several rows. No order of them leads to a deadlock."""
    for _round in range(6):
        ana = register(service, "ana")
        service.must(202, "POST", "auth/password/reset/", email=ana.email)
        ana.must(202, "POST", "auth/email/change/", new_email=new_address(), current_password=PASSWORD)
        verify = service.office.token_to(ana.email, "verify-email")
        reset = service.office.token_to(ana.email, "reset-password")
        answers = service.at_once(
            [
                post("auth/login/", email=ana.email, password=PASSWORD),
                post("auth/login/", email=ana.email, password="wrong"),
                post("auth/password/reset/confirm/", token=reset, new_password=PASSWORDS[0]),
                ana.call("POST", "auth/password/change/", current_password=PASSWORD, new_password=PASSWORDS[1]),
                root.call("POST", f"users/{ana.id}/suspend/"),
                post("auth/email/verify/", token=verify),
                post("auth/token/refresh/", refresh=ana.refresh),
                root.call("POST", f"users/{ana.id}/unlock/"),
                root.call("PATCH", f"users/{ana.id}/", email=new_address(), role="user"),
                ana.call("POST", "auth/logout/all/"),
                post("auth/password/reset/", email=ana.email),
                root.call("POST", f"users/{ana.id}/activate/"),
                ana.call("PATCH", "users/me/", full_name="Ana"),
                root.call("DELETE", f"users/{ana.id}/"),
                Call("GET", f"{API}users/me/export/", ana.access),
            ]
        )
        assert {answer.status for answer in answers} <= {200, 202, 204, 400, 401, 403, 404}
        assert root.ask("GET", f"users/{ana.id}/").status == 404


def _has_the_password_of_the_winner(
    service: Service, person: Person, answers: list[Answer], passwords: list[str] = PASSWORDS
) -> str:
    assert statuses(answers)[204] == 1
    assert {answer.status for answer in answers} <= {
        204,
        400,
        429,
    }  # a right password counts as an attempt until it has been checked
    [winner] = [password for answer, password in zip(answers, passwords, strict=False) if answer.status == 204]
    assert log_in(service, person.email, winner).id == person.id
    loser = next(password for password in passwords if password != winner)
    assert service.ask("POST", "auth/login/", email=person.email, password=loser).code == "invalid_credentials"
    return winner


def _is_admin(person: Person) -> bool:
    """Returns whether the user may still do what an administrator may."""
    return person.ask("GET", "roles/").status == 200
