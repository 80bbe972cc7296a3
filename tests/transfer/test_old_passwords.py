"""A user with an imported password hash logs in with the old password, which replaces the hash."""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, ScryptPasswordHasher
from rest_framework.test import APIClient

from accounts.hashing import hashers
from accounts.models import User
from accounts.transfer import hashes
from accounts.transfer.hashes import UnknownHash
from tests.conftest import PASSWORD, refused
from tests.transfer.conftest import Importing, lines

HASHES = json.loads((Path(__file__).parent / "hashes.json").read_text())
ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"  # of bcrypt
SALT = b"\x00\xff\x80sixteen bytes"


def logs_in(client: APIClient, password: str) -> None:
    body = {"email": "dora@example.com", "password": password}
    wrong = {**body, "password": f"not {password}"}
    refused(client.post("/api/v1/auth/login/", wrong, "json"), 401, "invalid_credentials")
    assert client.post("/api/v1/auth/login/", body, "json").status_code == 200
    assert User.objects.get().password.startswith("bcrypt_sha256$")
    assert client.post("/api/v1/auth/login/", body, "json").status_code == 200


@pytest.mark.parametrize("one", HASHES, ids=[one["made_by"] for one in HASHES])
def test_a_hash_made_by_another_program(import_users: Importing, stranger: APIClient, one: dict[str, str]) -> None:
    import_users(lines({"email": "dora@example.com", "password_hash": one["hash"]}))
    logs_in(stranger, one["password"])


@pytest.fixture(autouse=True)
def signer_key(settings: Any) -> None:
    """Sets the key of Firebase's own example."""
    key = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
    settings.FIREBASE_SIGNER_KEY = base64.b64decode(key)


def test_a_hash_of_firebase_needs_the_signer_key(
    stranger: APIClient, ana: User, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    encoded = next(one["hash"] for one in HASHES if one["hash"].startswith("firebase_scrypt$"))
    User.objects.filter(pk=ana.pk).update(password=encoded)
    body = {"email": ana.email, "password": "user1password"}
    for key in (b"", b"x" * 64):
        settings.FIREBASE_SIGNER_KEY = key
        refused(stranger.post("/api/v1/auth/login/", body, "json"), 401, "invalid_credentials")
    assert caplog.text.count("FIREBASE_SIGNER_KEY is not set") == 1


@pytest.mark.parametrize(
    "encoded",
    [
        PBKDF2PasswordHasher().encode(PASSWORD, "salt", iterations=1000),
        ScryptPasswordHasher().encode(PASSWORD, "salt", n=1024),
    ],
)
def test_a_hash_of_django(import_users: Importing, stranger: APIClient, encoded: str) -> None:
    import_users(lines({"email": "dora@example.com", "password_hash": encoded}))
    logs_in(stranger, PASSWORD)


def test_a_hash_of_scrypt_that_takes_the_maximum_of_memory(import_users: Importing, stranger: APIClient) -> None:
    key = hashlib.scrypt(PASSWORD.encode(), salt=b"salt", n=2**17, r=8, p=1, maxmem=2**28, dklen=64)
    encoded = f"scrypt${2**17}$salt$8$1${base64.b64encode(key).decode()}"
    import_users(lines({"email": "dora@example.com", "password_hash": encoded}))
    logs_in(stranger, PASSWORD)


@pytest.mark.parametrize("prefix", ["", "bcrypt_sha256$"])
def test_a_hash_of_bcrypt_with_padding_bits_that_others_ignore(
    import_users: Importing, stranger: APIClient, prefix: str
) -> None:
    secret = hashlib.sha256(PASSWORD.encode()).hexdigest() if prefix else PASSWORD
    encoded = bcrypt.hashpw(secret.encode(), b"$2b$04$UNG9doL5F2lJHvefbPOvr.").decode()
    last = ALPHABET[ALPHABET.index(encoded[-1]) + 3]
    with_bits = f"{prefix}{encoded[:28]}{ALPHABET[15]}{encoded[29:-1]}{last}"
    import_users(lines({"email": "dora@example.com", "password_hash": with_bits}))
    logs_in(stranger, PASSWORD)


@pytest.mark.parametrize(
    "stored",
    [
        "bcrypt$$2b$04$UNG9doL5F2lJHvefbPOvrLOAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
        "bcrypt$",
        "bcrypt_sha256$$2b$99$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
        "scrypt$65536$salt$1$1$aGFzaA==",
        "pbkdf2_sha256$many$salt$aGFzaA==",
        "argon2$nonsense",
        "foreign_pbkdf2$sha999,1$YQ==$YQ==",
        "foreign_pbkdf2$sha256,1$A$YQ==",
        "foreign_scrypt$3,8,1$YQ==$YQ==",
        "foreign_scrypt$",
        "firebase_scrypt$8,14$YQ==$YQ==",
        "phpass$many$YQ==$YQ==",
        "wordpress_bcrypt$$2y$99$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
    ],
)
def test_a_stored_hash_that_is_invalid_counts_as_a_wrong_password(stranger: APIClient, ana: User, stored: str) -> None:
    User.objects.filter(pk=ana.pk).update(password=stored)
    body = {"email": ana.email, "password": PASSWORD}
    refused(stranger.post("/api/v1/auth/login/", body, "json"), 401, "invalid_credentials")


def test_a_stored_hash_that_is_invalid_takes_the_time_of_a_valid_one(settings: Any) -> None:
    settings.BCRYPT_ROUNDS = 10
    ours = hashers.make(PASSWORD)
    right, damaged = (_quickest(encoded) for encoded in (ours, "foreign_pbkdf2$sha999,1$YQ==$YQ=="))
    assert 0.5 < damaged / right < 2


def _quickest(encoded: str) -> float:
    times = []
    for _each in range(5):
        started = time.perf_counter()
        assert hashers.verify(f"not {PASSWORD}", encoded) == (False, "")
        times.append(time.perf_counter() - started)
    return min(times)


def keycloak_credentials(**how: Any) -> list[dict[str, Any]]:
    """As `kc.sh export` writes them; Keycloak derives 64 bytes."""
    key = hashlib.pbkdf2_hmac(how["digest"], PASSWORD.encode(), SALT, 1000, how["length"])
    secret = {"value": base64.b64encode(key).decode(), "salt": base64.b64encode(SALT).decode()}
    data = {"hashIterations": 1000, "algorithm": how["algorithm"], "additionalParameters": {}}
    return [
        {"type": "otp", "secretData": "{}", "credentialData": "{}"},
        {"type": "password", "secretData": json.dumps(secret), "credentialData": json.dumps(data)},
    ]


@pytest.mark.parametrize(
    "how",
    [
        {"digest": "sha256", "algorithm": "pbkdf2-sha256", "length": 64},
        {"digest": "sha512", "algorithm": "pbkdf2-sha512", "length": 64},
        {"digest": "sha1", "algorithm": "pbkdf2", "length": 20},
    ],
)
def test_a_hash_of_keycloak(import_users: Importing, stranger: APIClient, how: dict[str, Any]) -> None:
    realm = {"realm": "shop", "users": [{"email": "dora@example.com", "credentials": keycloak_credentials(**how)}]}
    import_users(json.dumps(realm, indent=2), format="keycloak")
    logs_in(stranger, PASSWORD)


@pytest.mark.parametrize("encoded", [one["hash"] for one in HASHES])
def test_a_normalized_hash_is_normalized_to_itself(encoded: str) -> None:
    ours = hashes.normalize(encoded)
    assert hashes.normalize(ours) == ours


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "plain text",
        "$1$salt$hash",
        "$2b$04$short",
        "$2b$17$UNG9doL5F2lJHvefbPOvr.OAAw81NCd6tRlBy5Om29S/oUgSUmRwq",
        "$argon2id$v=19$m=9999999,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=65536,t=999,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        "pbkdf2_sha256$6000000$salt$aGFzaA==",
        "pbkdf2_sha256$0$salt$aGFzaA==",
        "$pbkdf2-sha256$1000$aaaaa$aaaaa",
        "$scrypt$ln=24,r=8,p=1$c2FsdA$aGFzaA",
        "scrypt$1000$salt$8$1$aGFzaA==",
        "foreign_scrypt$16384,8,99$c2FsdA==$aGFzaA==",
        "pbkdf2_sha256$1000$salt$" + "a" * 300,
        "pbkdf2_sha256$1000$salt$A",
        "pbkdf2_sha256$1000$sa\0lt$aGFzaA==",
        "pbkdf2_sha256$1000$\ud800$aGFzaA==",
        "foreign_pbkdf2$sha999,1$YQ==$YQ==",
        "foreign_pbkdf2$sha256,1$A$YQ==",
        "foreign_pbkdf2$sha256,1$YQ==$A",
        "foreign_scrypt$16,8,1$A$YQ==",
        "$scrypt$ln=16,r=1,p=1$c2FsdA$aGFzaA",
        "$argon2id$v=19$m=1,t=3,p=4$c2FsdHNhbHQ$YWJjZGVmZ2hpamts",
        "$argon2id$v=19$m=65536,t=3,p=0$c2FsdHNhbHQ$YWJjZGVmZ2hpamts",
        "$argon2id$v=19$m=1024,t=1,p=1$YQ$YWJjZGVmZ2hpamts",
        "$P$~ohUJ.1sdFw09/bMaAQPTGDNi2BIUt1",
        "$P$/ohUJ.1sdFw09/bMaAQPTGDNi2BIUt1",
        "$P$SohUJ.1sdFw09/bMaAQPTGDNi2BIUt1",
        "$P$8ohUJ.1sdFw09/bMaAQPTGDNi2BIUtz",
        "phpass$13$c2FsdA==$YQ==",
        "$wp$2y$10$short",
        "$wp$2y$15$Q1xinFjrZeLWJBvxviIL6u834Fu.evIEFHAUVisQ5O.w9Dm0sMdES",
        "firebase_scrypt$8,18,Bw==$c2FsdA==$aGFzaA==",
        "firebase_scrypt$0,14,Bw==$c2FsdA==$aGFzaA==",
        "0cc175b9c0f1b6a831c399e269772661",
    ],
)
def test_a_hash_that_is_unknown_invalid_or_too_slow_is_rejected(text: str) -> None:
    with pytest.raises(UnknownHash):
        hashes.normalize(text)
