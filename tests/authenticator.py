"""An authenticator in software: creates passkeys and signs with them, rightly or as a test wants it."""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40
ES256, EDDSA, RS256 = -7, -8, -257
ORIGIN = "http://localhost:8000"


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "===")


class Authenticator:
    """A passkey. Its attributes are what the next answer contains, so a test can change them."""

    def __init__(self, algorithm: int = ES256, *, rsa_bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.key: Any
        if algorithm == ES256:
            self.key = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == EDDSA:
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = rsa.generate_private_key(65537, rsa_bits)
        self.id = secrets.token_bytes(16)
        self.handle: bytes | None = None
        self.flags = UP | UV
        self.counter = 0
        self.origin = ORIGIN
        self.rp_id: str | None = None  # as the options say
        self.client_data: dict[str, Any] = {}  # further members
        self.cose = self._cose()

    def create(self, options: dict[str, Any], *, fmt: str = "none", **statement: Any) -> dict[str, Any]:
        """Returns the answer to creation options, with this attestation."""
        self.handle = decoded(options["user"]["id"])
        client_data = self._client_data("webauthn.create", options)
        public = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + self.cose
        data = self._data(options["rp"]["id"], AT) + public
        if fmt == "packed":
            signed = {"alg": self.algorithm, "sig": self.sign(data + hashlib.sha256(client_data).digest())}
            statement = signed | statement
        attestation = cbor2.dumps({"fmt": fmt, "attStmt": statement, "authData": data})
        return self._answer(client_data, attestationObject=encoded(attestation), transports=["internal", "x"])

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to request options."""
        client_data = self._client_data("webauthn.get", options)
        data = self._data(options["rpId"])
        signature = self.sign(data + hashlib.sha256(client_data).digest())
        handle = {} if self.handle is None else {"userHandle": encoded(self.handle)}
        return self._answer(client_data, authenticatorData=encoded(data), signature=encoded(signature), **handle)

    def sign(self, message: bytes) -> bytes:
        if self.algorithm == ES256:
            return bytes(self.key.sign(message, ec.ECDSA(hashes.SHA256())))
        if self.algorithm == EDDSA:
            return bytes(self.key.sign(message))
        return bytes(self.key.sign(message, padding.PKCS1v15(), hashes.SHA256()))

    def _cose(self) -> bytes:
        if self.algorithm == EDDSA:
            return cbor2.dumps({1: 1, 3: EDDSA, -1: 6, -2: self.key.public_key().public_bytes_raw()})
        numbers = self.key.public_key().public_numbers()
        if self.algorithm == ES256:
            x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
            return cbor2.dumps({1: 2, 3: ES256, -1: 1, -2: x, -3: y})
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        return cbor2.dumps({1: 3, 3: RS256, -1: modulus, -2: b"\x01\x00\x01"})

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        members = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(members | self.client_data).encode()

    def _data(self, rp_id: str, flags: int = 0) -> bytes:
        hashed = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return hashed + bytes([self.flags | flags]) + self.counter.to_bytes(4, "big")

    def _answer(self, client_data: bytes, **response: Any) -> dict[str, Any]:
        identity = {"id": encoded(self.id), "rawId": encoded(self.id), "type": "public-key"}
        members = {"clientDataJSON": encoded(client_data), **response}
        return {**identity, "response": members, "clientExtensionResults": {}, "authenticatorAttachment": "platform"}
