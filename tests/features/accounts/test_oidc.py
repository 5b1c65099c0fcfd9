"""Sign-in by ID token, against an issuer of our own with its own keys."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chatd.core.errors import Banned, RateLimited, Unauthenticated, Unavailable
from chatd.features.accounts import jwks, service
from chatd.features.accounts.contract import OidcLogin
from tests.databases import until_somebody_waits

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


@pytest.fixture(scope="session")
def rsa_key() -> Key:
    return Key("rsa-1", rsa.generate_private_key(65537, 2048), "RS256")


@pytest.fixture(scope="session")
def other_rsa_key() -> Key:
    return Key("rsa-2", rsa.generate_private_key(65537, 2048), "RS256")


@pytest.fixture(scope="session")
def ec_key() -> Key:
    return Key("ec-1", ec.generate_private_key(ec.SECP256R1()), "ES256")


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


@pytest.fixture
async def issuer(world, rsa_key: Key) -> AsyncIterator[Issuer]:
    issuer = Issuer(rsa_key, [rsa_key.public])
    app = web.Application()
    app.router.add_get("/certs", issuer.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    issuer.url = f"http://{host}:{port}/certs"
    world.set(
        auth={
            "google_jwks_url": issuer.url,
            "google_client_ids": ("app", "app-ios"),
            "apple_issuer": "https://appleid.apple.com",
            "apple_jwks_url": issuer.url,
            "apple_client_ids": ("com.example.app",),
        }
    )
    jwks.key_set.cache_clear()  # a port may come again
    yield issuer
    await runner.cleanup()


@pytest.fixture
def come_in(world):
    async def come_in(token: str, nonce: str | None = None, provider: str = "google"):
        return await service.login_oidc(world.base, provider, OidcLogin(id_token=token, nonce=nonce))

    return come_in


async def test_a_newcomer_gets_an_account_and_finds_it_again(world, issuer, come_in):
    first = await come_in(issuer.token())
    assert (first.user.email, first.user.email_verified, first.user.display_name) == (
        "alex@example.com",
        True,
        "Alex",
    )
    await service.require_live_session(world.as_(first))
    # the subject is who they are: the email may change, or be left out (as Apple does)
    second = await come_in(issuer.token(email=..., email_verified=...))
    third = await come_in(issuer.token(email="new@example.com"))
    assert first.user.id == second.user.id == third.user.id
    assert issuer.fetched == 1
    assert (await service.refresh(world.base, third.refresh_token)).expires_in == 900


async def test_apple_sends_its_booleans_as_strings_and_signs_with_es256(issuer, come_in, ec_key):
    issuer.keys.append(ec_key.public)
    claims = {"iss": "https://appleid.apple.com", "aud": "com.example.app", "name": ...}
    signed = await come_in(issuer.token(ec_key, email_verified="true", **claims), provider="apple")
    assert (signed.user.email_verified, signed.user.display_name) == (True, "New member")
    with pytest.raises(Unauthenticated):
        await come_in(
            issuer.token(sub="2", email="b@c.de", email_verified="false", **claims), provider="apple"
        )


async def test_google_may_leave_the_scheme_out_of_its_name(issuer, come_in):
    assert (await come_in(issuer.token(iss="accounts.google.com"))).user.email == "alex@example.com"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-app"},
        {"aud": ["another-app", "a-third"]},
        {"aud": ["app", "another-app"], "azp": "another-app"},
        {"aud": ["app", "another-app"]},
        {"aud": ...},
        {"iss": "https://evil.example.com"},
        {"iss": "https://appleid.apple.com"},
        {"iss": ...},
        {"exp": 1_000_000_000},
        {"exp": ...},
        {"iat": 4_000_000_000, "exp": 4_000_003_600},
        {"sub": ...},
        {"sub": ""},
        {"sub": "\0"},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email_verified": "yes"},
        {"email_verified": 1},
        {"email_verified": ...},
        {"email": ...},
        {"email": "no email"},
    ],
    ids=str,
)
async def test_a_token_that_says_the_wrong_thing_is_refused(world, issuer, come_in, claims):
    with pytest.raises(Unauthenticated):
        await come_in(issuer.token(**claims))
    assert await world.count("users") == 0


async def test_a_token_for_several_applications_names_the_one_that_asked(issuer, come_in):
    await come_in(issuer.token(aud=["app", "another-app"], azp="app-ios"))


async def test_a_nonce_that_is_given_must_be_in_the_token(issuer, come_in):
    await come_in(issuer.token(nonce="n-1"), nonce="n-1")
    await come_in(issuer.token(nonce=hashlib.sha256(b"n-1").hexdigest()), nonce="n-1")
    for claim in ("n-2", ...):
        with pytest.raises(Unauthenticated, match="nonce"):
            await come_in(issuer.token(nonce=claim), nonce="n-1")


async def test_a_token_signed_by_another_key_is_refused(issuer, come_in, rsa_key, other_rsa_key):
    with pytest.raises(Unauthenticated):
        await come_in(issuer.token(Key(rsa_key.kid, other_rsa_key.private, "RS256")))


async def test_a_token_that_is_not_signed_is_refused(issuer, come_in):
    header, payload, _ = issuer.token().split(".")
    none = jwt.encode({}, None, "none", headers={"kid": issuer.key.kid}).split(".")[0]
    for token in (f"{none}.{payload}.", f"{header}.{payload}.", "x", "..", "{}"):
        with pytest.raises(Unauthenticated):
            await come_in(token)


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(issuer, come_in):
    # PyJWT will not sign with a PEM as a secret, so by hand.
    header = base64.urlsafe_b64encode(
        json.dumps({"alg": "HS256", "typ": "JWT", "kid": issuer.key.kid}).encode()
    ).rstrip(b"=")
    signing = header + b"." + issuer.token().split(".")[1].encode()
    signature = base64.urlsafe_b64encode(hmac.digest(issuer.key.pem, signing, "sha256")).rstrip(b"=")
    with pytest.raises(Unauthenticated):
        await come_in((signing + b"." + signature).decode())


async def test_the_header_does_not_choose_the_algorithm(issuer, come_in, rsa_key, ec_key):
    issuer.keys.append(ec_key.public)
    with pytest.raises(Unauthenticated):
        await come_in(issuer.token(ec_key, header={"kid": rsa_key.kid}))
    rs512 = jwt.encode({}, rsa_key.private, "RS512", headers={"kid": rsa_key.kid})
    with pytest.raises(Unauthenticated):
        await come_in(rs512)


async def test_a_secret_among_the_public_keys_verifies_nothing(issuer, come_in):
    secret = b"the secret that everybody can read"
    entry = {"kty": "oct", "kid": "oct-1", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}
    issuer.keys.append(entry)
    with pytest.raises(Unauthenticated):
        await come_in(jwt.encode({}, secret, "HS256", headers={"kid": "oct-1"}))


async def test_keys_that_rotate_are_found_at_most_once_a_minute(world, issuer, come_in, other_rsa_key):
    await come_in(issuer.token())
    issuer.keys = [other_rsa_key.public]
    with pytest.raises(Unauthenticated):  # fetched less than a minute ago
        await come_in(issuer.token(other_rsa_key))
    assert issuer.fetched == 1
    world.later(seconds=jwks.REFETCH_S)
    assert (await come_in(issuer.token(other_rsa_key))).user.email == "alex@example.com"
    with pytest.raises(Unauthenticated):  # the old key is gone
        await come_in(issuer.token())
    for i in range(5):
        with pytest.raises(Unauthenticated):
            await come_in(issuer.token(header={"kid": f"unknown-{i}"}))
    assert issuer.fetched == 2


@pytest.mark.parametrize(("said", "kept"), [("max-age=7200", 7200), ("no-store", 3600), ("max-age=1", 300)])
async def test_keys_are_kept_as_long_as_the_provider_says_within_reason(world, issuer, come_in, said, kept):
    issuer.headers["Cache-Control"] = f"public, {said}, must-revalidate"
    token = issuer.token(exp=int(time.time()) + 100_000)
    await come_in(token)
    world.later(seconds=kept - 30)
    await come_in(token)
    assert issuer.fetched == 1
    world.later(seconds=30)
    await come_in(token)
    assert issuer.fetched == 2


async def test_many_at_once_fetch_the_keys_once(issuer, come_in):
    signed = await asyncio.gather(*(come_in(issuer.token()) for _ in range(8)))
    assert issuer.fetched == 1
    assert len({each.user.id for each in signed}) == 1


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 302, "headers": {"Location": "/certs"}},
        {"body": b"x" * (jwks.MAX_BYTES + 1)},
        {"body": b"not json"},
        {"body": b"[]"},
        {"body": b'{"keys": {}}'},
        {"body": b'{"keys": [{"kty": "RSA", "kid": "rsa-1", "n": "!", "e": "AQAB"}]}'},
        {"body": b'{"keys": [1, {"kty": [], "kid": "x"}, {"kid": 1}]}'},
        {"body": b"[" * 100_000},
    ],
    ids=str,
)
async def test_a_provider_that_fails_means_not_now_and_is_left_alone_for_a_while(issuer, come_in, failure):
    for name, value in failure.items():
        setattr(issuer, name, value)
    outcomes = await asyncio.gather(*(come_in(issuer.token()) for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert issuer.fetched == 1


async def test_a_provider_that_is_not_there_means_not_now(world, issuer, come_in):
    world.set(auth={"google_jwks_url": "http://127.0.0.1:1/certs"})
    with pytest.raises(Unavailable):
        await come_in(issuer.token())


def test_a_short_rsa_key_is_not_taken():
    short = Key("short", rsa.generate_private_key(65537, 1024), "RS256")  # noqa: S505  # that is the point
    assert jwks._usable(short.public) is None


async def test_a_provider_that_is_not_set_up_is_refused_without_asking_it(world, issuer, come_in):
    world.set(auth={"google_client_ids": ()})
    with pytest.raises(Unauthenticated, match="not set up"):
        await come_in(issuer.token())
    assert issuer.fetched == 0


async def test_a_verified_account_is_linked_and_keeps_its_password(world, issuer, come_in):
    user = await world.person()
    await world.db.run("UPDATE users SET email_verified = true")
    before = await world.sign_in()
    assert (await come_in(issuer.token(email="ALEX@example.com"))).user.id == user
    await service.require_live_session(world.as_(before))
    await world.sign_in()


async def test_who_registered_with_an_email_not_theirs_is_out_when_its_owner_comes(world, issuer, come_in):
    user = await world.person()
    hijacker = await world.sign_in()
    owner = await come_in(issuer.token())
    assert owner.user.id == user
    assert owner.user.email_verified is True
    with pytest.raises(Unauthenticated):
        await world.sign_in()
    with pytest.raises(Unauthenticated):
        await service.refresh(world.base, hijacker.refresh_token)
    with pytest.raises(Unauthenticated):
        await service.require_live_session(world.as_(hijacker))
    await service.require_live_session(world.as_(owner))
    [row] = await world.feed()
    assert (row.kind, row.reason, row.session_id) == (
        "session.ended",
        "account_linked",
        world.actor(hijacker).session_id,
    )
    assert world.broker.feeds == 1


async def test_an_unverified_email_of_the_provider_links_nothing(world, issuer, come_in):
    await world.person()
    with pytest.raises(Unauthenticated):
        await come_in(issuer.token(email_verified=False))
    await world.sign_in()
    assert await world.count("user_identities") == 0


async def test_two_providers_with_one_email_are_one_account(issuer, come_in):
    google = await come_in(issuer.token())
    apple = await come_in(
        issuer.token(iss="https://appleid.apple.com", aud="com.example.app", sub="apple-1"), provider="apple"
    )
    assert google.user.id == apple.user.id


async def test_ten_first_sign_ins_at_once_make_one_account(world, issuer, come_in):
    signed = await asyncio.gather(*(come_in(issuer.token()) for _ in range(10)))
    assert len({each.user.id for each in signed}) == 1
    assert (await world.count("users"), await world.count("user_identities")) == (1, 1)


async def test_a_banned_user_does_not_come_in_by_a_provider_either(world, issuer, come_in):
    signed = await come_in(issuer.token())
    await world.ban(signed.user.id)
    with pytest.raises(Banned):
        await come_in(issuer.token())
    assert await world.count("sessions") == 1


async def test_sign_ins_by_a_provider_are_counted_per_address(world, issuer, come_in):
    world.set(limits={"logins_per_minute": 1})
    world.base = replace(world.base, address="2001:db8::1")
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await come_in("x")
    world.base = replace(world.base, address="2001:db8::2")  # the same /64: one customer
    with pytest.raises(RateLimited):
        await come_in(issuer.token())


async def test_who_deletes_the_account_while_a_provider_vouches_for_them_has_no_session_of_it(
    world, issuer, come_in
):
    first = await come_in(issuer.token())
    me = world.as_(first)
    async with world.db.transaction() as tx:
        await service.depart(tx, me, await service.require_oneself(me, None))
        late = asyncio.create_task(come_in(issuer.token()))
        await until_somebody_waits(world.db)
    assert (await late).user.id != first.user.id
    open_ = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await world.db.one(int, open_, first.user.id) == 0
