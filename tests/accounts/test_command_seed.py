"""manage.py seed creates fake users: the same ones each time, and none among real users by accident."""

import re
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts import encryption, login, search, second_factor
from accounts.errors import SecondFactorRequired
from accounts.mfa.submitted_proofs import SubmittedProof
from accounts.models import Role, TotpSecret, User

pytestmark = pytest.mark.django_db
SHOWN = ("id", "email", "full_name", "role__name", "is_active", "email_verified", "created_at", "last_login_at")


def seeded(number: int, *options: str) -> list[tuple[Any, ...]]:
    call_command("seed", str(number), *options)
    return list(User.objects.order_by("id").values_list(*SHOWN))


def test_creates_the_same_users_each_time_and_others_with_another_seed() -> None:
    first = seeded(300)
    User.objects.all().delete()
    assert len(first) == 300
    assert seeded(300) == first
    User.objects.all().delete()
    assert not {row[1] for row in seeded(300, "--seed", "2")} & {row[1] for row in first}


def test_their_addresses_receive_no_email_and_their_history_is_in_order() -> None:
    seeded(300)
    for user in User.objects.all():
        assert re.fullmatch(r"[a-z]+\.[a-z]+\d+@([a-z]+\.)?example\.(com|org|net)", user.email)
        assert user.last_login_at is None or user.created_at <= user.last_login_at
    newest = [user.pk for user in User.objects.order_by("-created_at")]
    assert newest == [user.pk for user in User.objects.order_by("-id")]


def test_they_are_found_by_a_search_and_can_log_in(capsys: pytest.CaptureFixture[str]) -> None:
    seeded(50)
    user = User.objects.filter(role__name="user", is_active=True).latest("id")
    assert list(search.containing(User.objects.all(), user.email.partition("@")[0])) == [user]
    password = re.findall(r"the password (\S+) ", capsys.readouterr().out)[0]
    assert login.log_in(user.email, password)


def test_some_of_them_have_an_authenticator_app_with_the_printed_secret(capsys: pytest.CaptureFixture[str]) -> None:
    seeded(100, "--second-factors", "7")
    enrolled = list(User.objects.filter(mfa_enabled=True))
    rows = {row.user_id: row for row in TotpSecret.objects.all()}
    assert len(enrolled) == 7 == len(rows)
    printed = capsys.readouterr().out
    password = re.findall(r"the password (\S+) ", printed)[0]
    app = pyotp.TOTP(
        re.findall(r"^The authenticator apps of 7 .* the secret ([A-Z2-7]{32}) ", printed, re.MULTILINE)[0]
    )
    for user in enrolled:
        row = rows[user.pk]
        assert (user.email_verified, row.confirmed_at) == (True, user.created_at)
        assert encryption.key_id(bytes(row.secret)) == encryption.key_ids()[0]
    assert len({bytes(row.secret) for row in rows.values()}) == 7
    for user in (user for user in enrolled if user.is_active):
        with pytest.raises(SecondFactorRequired) as required:
            login.log_in(user.email, password)
        assert second_factor.finish_login(str(required.value.members["mfa_token"]), SubmittedProof(code=app.now()))


def test_the_users_are_the_same_with_second_factors() -> None:
    def unless_chosen(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [row[:5] + row[6:] for row in rows]  # without `email_verified`

    first = seeded(50)
    User.objects.all().delete()
    assert unless_chosen(seeded(50, "--second-factors", "50")) == unless_chosen(first)
    assert User.objects.filter(mfa_enabled=True, email_verified=True).count() == 50


def test_there_are_not_more_second_factors_than_users() -> None:
    with pytest.raises(CommandError, match="--second-factors is at most the number of users, 5") as error:
        seeded(5, "--second-factors", "6")
    assert error.value.returncode == 2
    assert not User.objects.exists()


def test_adds_them_to_the_existing_fake_users(person: Callable[..., User]) -> None:
    person("ana")
    seeded(20)
    assert len(seeded(20)) == 41


def test_adds_them_to_real_users_only_on_demand(person: Callable[..., User]) -> None:
    person("ana", email="ana@example.com.real.org")
    with pytest.raises(CommandError, match="real users"):
        call_command("seed", "10")
    assert User.objects.count() == 1
    assert not Role.objects.filter(name="support").exists()
    assert len(seeded(10, "--yes")) == 11


def test_an_existing_user_is_an_error_in_one_line(person: Callable[..., User]) -> None:
    person("ana")
    last = seeded(5)[0][0]
    User.objects.exclude(pk=last).delete()  # now it would create the same users again
    with pytest.raises(CommandError, match="choose another --seed"):
        call_command("seed", "5")
    assert [user.pk for user in User.objects.all()] == [last]
    assert len(seeded(5, "--seed", "2")) == 6
