"""manage.py import_users stops at columns that it does not read."""

import json
from typing import Any

import pytest

from accounts.models import ImportRun, User
from accounts.transfer.formats import FORMATS
from tests.transfer.conftest import Importing, lines

BCRYPT = "$2b$04$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq"


@pytest.mark.parametrize(
    ("name", "is_csv"),
    [
        (name, is_csv)
        for name, one in FORMATS.items()
        for is_csv in (True, False)
        if not (is_csv and one.layout.columns)  # such a CSV names no columns
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_unknown_columns_are_named_before_anything_is_imported(
    import_users: Importing, settings: Any, name: str, is_csv: bool, dry_run: bool
) -> None:
    settings.FIREBASE_SIGNER_KEY = b"key"
    address = FORMATS[name].layout.email_column
    rows = [{address: "ana@example.com", "shoe size": "7"}, {address: "dora@example.com", "colour": "red"}]
    text = f"{address},shoe size,colour\nana@example.com,7,red\n" if is_csv else lines(*rows)
    said = import_users(text, format=name, dry_run=dry_run)
    assert f"Nothing was imported: --format {name} doesn't read colour, shoe size." in said
    assert "leave them out with --ignore-columns 'colour,shoe size'." in said
    assert not User.objects.exists()
    assert not ImportRun.objects.exists()
    created = 1 if is_csv else 2
    assert f"{created} created" in import_users(text, format=name, dry_run=True, ignore_columns="colour,shoe size")
    assert f"{created} created" in import_users(text, format=name, dry_run=True, ignore_columns="*")


def test_the_export_of_another_product_needs_its_format(import_users: Importing) -> None:
    user = {"localId": "u1", "email": "dora@example.com", "emailVerified": True, "passwordHash": "aGFzaA==", "salt": ""}
    said = import_users(json.dumps({"users": [user]}))
    assert "--format usermanager doesn't read emailVerified, localId, passwordHash, salt." in said
    assert not User.objects.exists()


def test_unknown_columns_are_printed_in_one_short_line(import_users: Importing) -> None:
    said = import_users(
        lines({"email": "dora@example.com", "a\nb\x1b[2J": 1, "x" * 1000: 1, **dict.fromkeys(map(str, range(99)))})
    )
    assert len(said) < 1000
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "and 71 more. Rename the ones that you need, or leave them out with --ignore-columns '*'." in said


@pytest.mark.parametrize(
    ("head", "shown"),
    [
        ("email,", "a column without a name"),
        ("email,,,", "a column without a name"),
        ('email,"Last, First"', "Last, First"),
    ],
)
def test_a_star_ignores_columns_that_the_option_cannot_name(import_users: Importing, head: str, shown: str) -> None:
    text = f"{head}\nana@example.com{',' * (head.count(',') - head.count('Last,'))}\n"
    assert (
        f"doesn't read {shown}. Rename the ones that you need, or leave them out with --ignore-columns '*'."
        in import_users(text)
    )
    assert "1 created" in import_users(text, ignore_columns="*")


def test_spaces_around_ignored_columns_do_not_count(import_users: Importing) -> None:
    text = "email,shoe size,colour\nana@example.com,7,red\n"
    assert "1 created" in import_users(text, ignore_columns="shoe size, colour")


def test_a_known_column_can_be_ignored(import_users: Importing) -> None:
    row = {"email": "dora@example.com", "id": "no UUID", "role": "admin", "password_hash": BCRYPT}
    assert "1 created, 0 updated, 0 skipped, 0 rejected" in import_users(lines(row), ignore_columns="id,role")
    assert (User.objects.get().role.name, User.objects.get().has_usable_password()) == ("user", True)


def test_a_column_within_an_object_can_be_ignored(import_users: Importing) -> None:
    fields = {"email": "dora@example.com", "first_name": "Dora", "shoe_size": 7}
    text = json.dumps([{"model": "shop.customer", "pk": 1, "fields": fields}])
    assert "doesn't read shoe_size." in import_users(text, format="django")
    assert "1 created" in import_users(text, format="django", ignore_columns="shoe_size,first_name")
    assert User.objects.get().full_name == ""


FIREBASE_HASH = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
FIREBASE_USER = {
    "localId": "nMCiY9rhjDMMqJlHhEyfTGGEOCu1",
    "email": "dora@example.com",
    "emailVerified": True,
    "passwordHash": FIREBASE_HASH,
    "salt": "42xEC+ixf3L2lw==",
    "displayName": "Dora Díaz",
    "photoUrl": "https://example.com/dora.png",
    "lastSignedInAt": "1717243200123",
    "createdAt": "1711972800123",
    "phoneNumber": "+34600000000",
    "disabled": True,
    "customAttributes": '{"plan":"pro"}',
    "providerUserInfo": [],
}
CELLS = (
    f"nMCiY9rhjDMMqJlHhEyfTGGEOCu1,dora@example.com,true,{FIREBASE_HASH},42xEC+ixf3L2lw==,Dora Díaz,https://example.com/d"
    f"{',' * 17}1711972800123,1717243200123,+34600000000"
)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"users": [FIREBASE_USER]}, indent=2),
        CELLS + ',true,"{""plan"":""pro""}",\n' + "u2,elsa@example.com" + "," * 25 + "false,,\n",
        CELLS.replace("/", "_").replace("https:__", "https://") + ",\n",
    ],
    ids=["JSON", "CSV", "CSV of an older version"],
)
def test_firebase(import_users: Importing, settings: Any, text: str) -> None:
    settings.FIREBASE_SIGNER_KEY = b"key"
    is_old = "pro" not in text
    said = import_users(text, format="firebase")
    assert "0 skipped, 0 rejected.\n" in said
    dora = User.objects.get(email="dora@example.com")
    assert (dora.full_name, dora.email_verified, dora.is_active) == ("Dora Díaz", True, is_old)
    assert dora.password == f"firebase_scrypt$8,14,Bw==$42xEC+ixf3L2lw==${FIREBASE_HASH}"
    kept = {"firebase_uid": FIREBASE_USER["localId"], "phone_number": "+34600000000"}
    assert dora.metadata == (kept if is_old else {**kept, "custom_claims": {"plan": "pro"}})
    assert dora.created_at.isoformat() == "2024-04-01T12:00:00.123000+00:00"
    assert dora.last_login_at
    assert dora.last_login_at.isoformat() == "2024-06-01T12:00:00.123000+00:00"


@pytest.mark.parametrize(("separator", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_firebase_with_another_separator(import_users: Importing, settings: Any, separator: str, word: str) -> None:
    settings.FIREBASE_SIGNER_KEY = b"key"
    said = import_users(CELLS.replace(",", separator), format="firebase")
    assert f"The first line has {word} between its cells: save the file as CSV with commas." in said


def test_firebase_needs_the_parameters_of_the_project(import_users: Importing, settings: Any) -> None:
    text = json.dumps({"users": [FIREBASE_USER]})
    assert "Set FIREBASE_SIGNER_KEY (or FIREBASE_SIGNER_KEY_FILE)" in import_users(text, format="firebase")
    assert not User.objects.exists()
    assert "1 created" in import_users(text, format="firebase", ignore_columns="passwordHash", dry_run=True)
    settings.FIREBASE_SIGNER_KEY = b"key"
    for odd in ({"firebase_rounds": 0}, {"firebase_mem_cost": 40}, {"firebase_salt_separator": "?"}):
        assert "The --firebase options are invalid: " in import_users(text, format="firebase", **odd)
    import_users(text, format="firebase", firebase_rounds=4, firebase_mem_cost=10, firebase_salt_separator="YQ==")
    assert User.objects.get().password.startswith("firebase_scrypt$4,10,YQ==$")
    bad = {**FIREBASE_USER, "email": "elsa@example.com", "salt": "*"}
    assert "imported without it" in import_users(json.dumps({"users": [bad]}), format="firebase")


def test_wordpress(import_users: Importing) -> None:
    text = (
        "ID,user_login,user_pass,user_nicename,user_email,user_url,user_registered,user_activation_key,user_status,"
        "display_name\n"
        "1,dora,$P$8ohUJ.1sdFw09/bMaAQPTGDNi2BIUt1,dora,dora@example.com,,2024-04-01 12:00:00,,0,Dora Díaz\n"
        "2,elsa,$wp$2y$10$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES,elsa,elsa@example.com,,"
        "0000-00-00 00:00:00,,0,elsa@example.com\n"
        "3,flor,0cc175b9c0f1b6a831c399e269772661,flor,flor@example.com,,2024-04-01 12:00:00,,0,Flor\n"
    )
    said = import_users(text, format="wordpress")
    assert "3 created, 0 updated, 0 skipped, 0 rejected, 1 warnings" in said
    assert "Line 4: password_hash: this kind of password hash is not known; imported without it" in said
    dora, elsa = (User.objects.get(email=f"{name}@example.com") for name in ("dora", "elsa"))
    assert (dora.full_name, dora.created_at.isoformat()) == ("Dora Díaz", "2024-04-01T12:00:00+00:00")
    assert dora.password.startswith("phpass$10$")
    assert (elsa.full_name, elsa.password.startswith("wordpress_bcrypt$$2y$10$")) == ("", True)
