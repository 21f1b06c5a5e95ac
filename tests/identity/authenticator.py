"""A security key in software: it answers as FIDO keys do, for tests that have no browser."""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def _text(raw):
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """One key pair under one credential id, with a counter."""

    def __init__(self, origin="http://localhost", host="localhost"):
        self.origin, self.host = origin, host
        self.id, self.count = secrets.token_bytes(32), 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options):
        """The answer to `navigator.credentials.create` with these options (JSON)."""
        asked = json.loads(options)
        numbers = self._key.public_key().public_numbers()
        public = cbor2.dumps(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        )
        held = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + public
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._said(0x41) + held})
        client = self._client("webauthn.create", asked["challenge"])
        return self._answer(clientDataJSON=_text(client), attestationObject=_text(attestation))

    def get(self, options):
        """The answer to `navigator.credentials.get`."""
        asked = json.loads(options)
        assert _text(self.id) in [one["id"] for one in asked["allowCredentials"]], "the key is not asked for"
        self.count += 1
        client, said = self._client("webauthn.get", asked["challenge"]), self._said(0x01)
        signature = self._key.sign(said + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            clientDataJSON=_text(client), authenticatorData=_text(said), signature=_text(signature)
        )

    def _said(self, flags):
        return sha256(self.host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind, challenge):
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, **response):
        return json.dumps(
            {"id": _text(self.id), "rawId": _text(self.id), "type": "public-key", "response": response}
        )
