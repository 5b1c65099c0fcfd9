"""Push services on this machine that keep what they get: FCM, Web Push, and APNs over HTTP/2."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from tests.waiting import PATIENCE_S

#: Tests move the clock of the nodes.
ANY_TIME: Any = {"verify_iat": False, "verify_exp": False}


@dataclass
class Got:
    """One push as it came in."""

    service: str
    token: str
    headers: dict[str, str]
    body: Any


@dataclass
class Said:
    """What to answer instead of yes."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Browser:
    """Somebody's browser: keys of a subscription, and the other half of the encryption (RFC 8291, 3.4)."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.auth = b"0123456789abcdef"

    @property
    def subscription(self) -> dict[str, Any]:
        keys = {"p256dh": b64(point(self.key.public_key())), "auth": b64(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def read(self, body: bytes) -> Any:
        salt, size, theirs, sealed = body[:16], body[20], body[21:86], body[86:]
        assert size == 65
        shared = self.key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
        )
        info = b"WebPush: info\0" + point(self.key.public_key()) + theirs
        secret = HKDF(SHA256(), 32, self.auth, info).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        text = AESGCM(key).decrypt(nonce, sealed, None)
        assert text.endswith(b"\x02")
        return json.loads(text[:-1])


class Services:
    """All three. ``answers[token]`` are given in turn instead of yes."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.answers: dict[str, list[Said]] = {}
        self.grants = 0
        self.token_answers: list[Said] = []
        self.url = self.apple_url = ""
        self.news = asyncio.Event()
        self.service_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.apple_key = ec.generate_private_key(ec.SECP256R1())
        self.vapid_key = ec.generate_private_key(ec.SECP256R1())

    def account(self) -> str:
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "tribe",
                "client_email": "push@tribe.iam.example",
                "private_key_id": "k1",
                "private_key": pem(self.service_key),
                "token_uri": self.url + "/token",
            }
        )

    def to(self, token: str) -> list[Got]:
        return [got for got in self.got if got.token == token]

    async def wait(self, count: int) -> None:
        """Until so many have come in all."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()

    def take(self, got: Got) -> Said:
        self.got.append(got)
        self.news.set()
        waiting = self.answers.get(got.token)
        return waiting.pop(0) if waiting else Said(201 if got.service == "webpush" else 200, {})

    async def grant(self, request: web.Request) -> web.Response:
        form = parse_qs(await request.text())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        claims = jwt.decode(
            form["assertion"][0],
            self.service_key.public_key(),
            ["RS256"],
            audience=self.url + "/token",
            options=ANY_TIME,
        )
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        self.grants += 1
        if self.token_answers:
            said = self.token_answers.pop(0)
            return web.json_response(said.body, status=said.status)
        return web.json_response(
            {"access_token": f"at-{self.grants}", "expires_in": 3600, "token_type": "Bearer"}
        )

    async def fcm(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer at-{self.grants}":
            return web.json_response({"error": {"status": "UNAUTHENTICATED"}}, status=401)
        body = await request.json()
        said = self.take(Got("fcm", body["message"]["token"], dict(request.headers), body["message"]))
        return web.json_response(said.body or {}, status=said.status, headers=said.headers)

    async def browser(self, request: web.Request) -> web.Response:
        got = Got("webpush", str(request.url), dict(request.headers), await request.read())
        scheme, _, rest = request.headers["Authorization"].partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert scheme == "vapid"
        assert fields["k"] == b64(point(self.vapid_key.public_key()))
        jwt.decode(fields["t"], self.vapid_key.public_key(), ["ES256"], audience=self.url, options=ANY_TIME)
        said = self.take(got)
        return web.Response(status=said.status, headers=said.headers)


class Apple(asyncio.Protocol):
    """One HTTP/2 connection (prior knowledge, RFC 9113, 3.3) to APNs."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests: dict[int, tuple[dict[str, str], bytearray]] = {}

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case RequestReceived():
                    self.requests[event.stream_id] = (dict(event.headers), bytearray())
                case DataReceived():
                    self.requests[event.stream_id][1].extend(event.data)
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.answer(event.stream_id)
        self.transport.write(self.h2.data_to_send())

    def answer(self, stream: int) -> None:
        headers, body = self.requests.pop(stream)
        scheme, _, token = headers["authorization"].partition(" ")
        assert scheme == "bearer"
        assert jwt.get_unverified_header(token)["kid"] == "KEY1"
        jwt.decode(token, self.services.apple_key.public_key(), ["ES256"], issuer="TEAM1", options=ANY_TIME)
        device = headers[":path"].removeprefix("/3/device/")
        said = self.services.take(Got("apns", device, headers, json.loads(bytes(body))))
        self.h2.send_headers(stream, [(":status", str(said.status)), *said.headers.items()])
        self.h2.send_data(stream, json.dumps(said.body or {}).encode(), end_stream=True)


@asynccontextmanager
async def listening() -> AsyncIterator[Services]:
    services = Services()
    app = web.Application()
    app.router.add_post("/token", services.grant)
    app.router.add_post("/v1/projects/tribe/messages:send", services.fcm)
    app.router.add_post("/push/{id}", services.browser)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    services.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    apple = await asyncio.get_running_loop().create_server(lambda: Apple(services), "127.0.0.1", 0)
    services.apple_url = f"http://127.0.0.1:{apple.sockets[0].getsockname()[1]}"
    try:
        yield services
    finally:
        apple.close()
        await runner.cleanup()
