"""manage.py import_users reads the exports of other products as they are."""

import json

import pytest

from accounts.models import User
from tests.transfer.conftest import Importing, lines

BCRYPT = "$2b$04$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq"
ID = "8f9d5b1e-3b1f-4a53-9d6e-0a8d7f1c2b3a"


def dora() -> User:
    return User.objects.select_related("role").get(email="dora@example.com")


def test_supabase_as_csv_of_auth_users(import_users: Importing) -> None:
    text = (
        "instance_id,id,aud,role,email,encrypted_password,email_confirmed_at,last_sign_in_at,raw_app_meta_data,"
        "raw_user_meta_data,is_super_admin,created_at,updated_at,banned_until,deleted_at,is_anonymous\n"
        f"00000000-0000-0000-0000-000000000000,{ID},authenticated,authenticated,dora@example.com,{BCRYPT},"
        '2024-05-01 12:00:00.123+00,2024-06-01 12:00:00+00,"{""provider"": ""email""}",'
        '"{""full_name"": ""Dora Díaz"", ""plan"": ""pro""}",,'
        "2024-04-01 12:00:00.123456+00,2024-05-01 12:00:00+00,,,f\n"
        ",,authenticated,authenticated,eva@example.com,,,,,,,2024-04-01 12:00:00+00,,2999-01-01 00:00:00+00,,f\n"
        ",,authenticated,authenticated,gone@example.com,,,,,,,2024-04-01 12:00:00+00,,,2024-07-01 00:00:00+00,f\n"
    )
    assert "2 created" in (said := import_users(text, format="supabase"))
    assert "Line 4: deleted_at: the user was deleted in Supabase" in said
    assert (str(dora().pk), dora().full_name, dora().email_verified) == (ID, "Dora Díaz", True)
    assert (dora().role.name, dora().metadata["plan"], dora().password) == ("user", "pro", f"bcrypt${BCRYPT}")
    assert dora().created_at.isoformat() == "2024-04-01T12:00:00.123456+00:00"
    eva = User.objects.get(email="eva@example.com")
    assert eva.suspended_until
    assert (eva.is_active, eva.suspended_until.isoformat()) == (False, "2999-01-01T00:00:00+00:00")


ARGON2_OF_KEYCLOAK = {
    "type": "password",
    "secretData": json.dumps(
        {"value": "aGFzaGhhc2hoYXNoaGFzaA==", "salt": "c2FsdHNhbHRzYWx0", "additionalParameters": {}}
    ),
    "credentialData": json.dumps(
        {
            "hashIterations": 5,
            "algorithm": "argon2",
            "additionalParameters": {
                "hashLength": ["16"],
                "memory": ["7168"],
                "type": ["id"],
                "version": ["1.3"],
                "parallelism": ["1"],
            },
        }
    ),
}


def test_keycloak_as_a_realm_export(import_users: Importing) -> None:
    realm = {
        "id": "shop",
        "realm": "shop",
        "users": [
            {
                "id": ID,
                "createdTimestamp": 1711972800123,
                "username": "dora",
                "email": "dora@example.com",
                "enabled": False,
                "emailVerified": True,
                "firstName": "Dora",
                "lastName": "Díaz",
                "attributes": {"locale": ["es-MX"], "plan": ["pro"]},
                "credentials": [ARGON2_OF_KEYCLOAK],
                "realmRoles": ["admin"],
            },
            {"username": "no address"},
            {
                "username": "eva@example.com",
                "credentials": [{"type": "password", "secretData": "{", "credentialData": "{}"}],
            },
        ],
    }
    said = import_users(json.dumps(realm, indent=2), format="keycloak")
    assert "2 created, 0 updated, 0 skipped, 1 rejected, 1 warnings" in said
    assert "Line 3: password_hash: the password hash is damaged; imported without it" in said
    assert "Line 2: email: write an email address" in said
    assert (str(dora().pk), dora().full_name, dora().is_active, dora().locale) == (ID, "Dora Díaz", False, "es")
    assert (dora().role.name, dora().metadata["plan"]) == ("user", ["pro"])
    assert dora().password == "argon2$argon2id$v=19$m=7168,t=5,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"
    assert dora().created_at.isoformat() == "2024-04-01T12:00:00.123000+00:00"


def test_auth0_as_ndjson_of_users_and_of_hashes(import_users: Importing) -> None:
    user = {
        "user_id": "auth0|5f7c8ec7c33c6c004bbafe82",
        "email": "dora@example.com",
        "email_verified": True,
        "name": "dora@example.com",
        "blocked": True,
        "user_metadata": {"locale": "es"},
        "created_at": "2024-04-01T12:00:00.123Z",
        "last_login": "2024-06-01T12:00:00.123Z",
    }
    import_users(lines(user), format="auth0")
    assert (dora().full_name, dora().is_active, dora().locale, dora().email_verified) == ("", False, "es", True)
    hashes = {"_id": {"$oid": "5f7c"}, "email_verified": True, "email": "eva@example.com", "passwordHash": BCRYPT}
    import_users(lines(hashes), format="auth0")
    assert User.objects.get(email="eva@example.com").password == f"bcrypt${BCRYPT}"


FIELDS = {
    "password": "pbkdf2_sha256$1000$salt$nNr3AKmYFOXvzxzP+2VlPwJFPcGKllppLaQIvsodtc4=",
    "last_login": None,
    "is_superuser": True,
    "username": "dora",
    "first_name": "Dora",
    "last_name": "Díaz",
    "email": "dora@example.com",
    "is_active": True,
    "date_joined": "2024-04-01T12:00:00.123Z",
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"model": "auth.user", "pk": 1, "fields": FIELDS}]),
        json.dumps([{"model": "auth.user", "pk": 1, "fields": FIELDS}], indent=2),
        json.dumps({"model": "auth.user", "pk": 1, "fields": FIELDS}),
        ",".join(FIELDS) + "\n" + ",".join(str("" if value is None else value) for value in FIELDS.values()),
    ],
    ids=["dumpdata", "dumpdata --indent", "dumpdata --format jsonl", "CSV of the table"],
)
def test_django_in_each_of_its_forms(import_users: Importing, text: str) -> None:
    assert "1 created" in import_users(text, format="django")
    assert (dora().full_name, dora().role.name, dora().password) == ("Dora Díaz", "user", FIELDS["password"])


def test_django_without_a_password(import_users: Importing) -> None:
    fields = {**FIELDS, "password": "!QmFzZTY0"}
    import_users(json.dumps([{"model": "auth.user", "pk": 1, "fields": fields}]), format="django")
    assert not dora().has_usable_password()


def test_fastapi_users_as_csv(import_users: Importing) -> None:
    text = f"id,email,hashed_password,is_active,is_superuser,is_verified\n{ID},dora@example.com,{BCRYPT},t,t,f\n"
    import_users(text, format="fastapi-users")
    assert (str(dora().pk), dora().is_active, dora().email_verified, dora().role.name) == (ID, True, False, "user")
    assert dora().password == f"bcrypt${BCRYPT}"


def test_a_byte_order_mark_and_windows_lines_do_no_harm(import_users: Importing) -> None:
    assert "1 created" in import_users("\ufeffemail,full_name\r\ndora@example.com,Dora\r\n")


def test_lines_that_are_not_utf_8_are_rejected(import_users: Importing) -> None:
    text = "email,full_name\ndora@example.com,Dora\neva@example.com,Eva \udcff\n"
    assert "Line 3: it is not UTF-8" in import_users(text)
    assert not User.objects.exclude(email="dora@example.com").exists()
