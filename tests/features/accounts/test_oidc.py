"""ID tokens: what is believed, and by which keys."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from chatd.core.errors import Unauthenticated, Unavailable
from chatd.features.accounts import jwks
from tests.features.accounts.issuer import Key


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
