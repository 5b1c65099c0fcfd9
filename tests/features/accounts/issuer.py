"""An issuer of ID tokens of our own, with its own keys."""

import json
import time
from dataclasses import dataclass, field

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization

ISSUER = "https://accounts.google.com"


class Key:
    def __init__(self, kid: str, private, algorithm: str) -> None:
        self.kid, self.private, self.algorithm = kid, private, algorithm

    @property
    def public(self) -> dict:
        kind = jwt.algorithms.RSAAlgorithm if self.algorithm == "RS256" else jwt.algorithms.ECAlgorithm
        entry = kind.to_jwk(self.private.public_key(), as_dict=True)
        return entry | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    @property
    def pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@dataclass
class Issuer:
    """Signs what it is told, and serves its keys."""

    key: Key
    keys: list[dict] = field(default_factory=list)
    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes | None = None
    fetched: int = 0
    url: str = ""

    async def serve(self, request: web.Request) -> web.Response:
        self.fetched += 1
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        return web.Response(
            status=self.status, body=body, headers=self.headers, content_type="application/json"
        )

    def token(self, key: Key | None = None, *, header: dict | None = None, **claims) -> str:
        now = int(time.time())
        said = {
            "iss": ISSUER,
            "aud": "app",
            "sub": "subject-1",
            "iat": now,
            "exp": now + 3600,
            "email": "alex@example.com",
            "email_verified": True,
            "name": "Alex",
        } | claims
        said = {name: value for name, value in said.items() if value is not ...}
        key = key or self.key
        return jwt.encode(said, key.private, key.algorithm, headers={"kid": key.kid} | (header or {}))
