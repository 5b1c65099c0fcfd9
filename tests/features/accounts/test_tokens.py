"""Access tokens: what was signed here and has not run out is believed, and nothing else."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.errors import Unauthenticated
from chatd.core.settings import Secrets, Settings, SettingsError
from chatd.features.accounts import tokens

USER, SESSION = "usr_01h455vb4pex5vsknk084sn02q", "ses_01h455vb4pex5vsknk084sn02q"
KEY = "a-key-of-at-least-thirty-two-bytes!"
NOW = datetime(2030, 1, 1, tzinfo=UTC)
AT = int(NOW.timestamp())
CLAIMS = {"iss": "chatd", "sub": USER, "sid": SESSION, "roles": [], "iat": AT, "exp": AT + 900, "jti": "j"}


def settings(key: str = KEY, **fields) -> Settings:
    return Settings(secrets=Secrets(jwt_key=key), **fields)


def issued(key: str = KEY, ttl: float = 900) -> str:
    return tokens.issue(settings(key), USER, SESSION, ["user", "admin"], NOW, ttl)


def verify(token: str, key: str = KEY, now: datetime = NOW):
    return tokens.verify(settings(key), token, now)


def test_a_token_says_who_and_until_when():
    actor = verify(issued())
    assert (actor.user_id, actor.session_id, actor.roles) == (USER, SESSION, {"user", "admin"})
    assert actor.expires_at == AT + 900


def test_a_token_has_the_claims_of_the_protocol():
    claims = jwt.decode(issued(), KEY, ["HS256"], options={"verify_iat": False})
    assert set(claims) == {"iss", "sub", "sid", "roles", "iat", "exp", "jti"}
    assert claims["iss"] == "chatd"
    assert issued() != issued()


def test_a_token_ends_at_its_second_even_where_it_was_believed_before():
    token = issued(ttl=60)
    verify(token, now=NOW + timedelta(seconds=59))
    with pytest.raises(Unauthenticated, match="expired"):
        verify(token, now=NOW + timedelta(seconds=60))


def test_a_token_from_the_future_is_refused():
    with pytest.raises(Unauthenticated):
        verify(issued(), now=NOW - timedelta(minutes=2))
    verify(issued(), now=NOW - timedelta(seconds=30))  # clocks of nodes differ


@pytest.mark.parametrize("left_out", CLAIMS)
def test_every_claim_must_be_there(left_out):
    claims = {name: value for name, value in CLAIMS.items() if name != left_out}
    with pytest.raises(Unauthenticated):
        verify(jwt.encode(claims, KEY, "HS256"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "another"},
        {"sub": "ses_01h455vb4pex5vsknk084sn02q"},
        {"sub": USER + "\n"},
        {"sid": ""},
        {"roles": "admin"},
        {"roles": [1]},
        {"exp": "never"},
        {"exp": None},
        {"exp": True},
        {"exp": -1},
        {"jti": ""},
        {"iat": []},
    ],
)
def test_every_claim_must_be_right(wrong):
    verify(jwt.encode(CLAIMS, KEY, "HS256"))
    # not by jwt.encode, which knows better than to write some of these
    payload = json.dumps(CLAIMS | wrong).encode()
    with pytest.raises(Unauthenticated):
        verify(jwt.PyJWS().encode(payload, KEY.encode(), "HS256"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" * 5000])
def test_an_expiry_that_is_no_time_is_refused(number):
    payload = json.dumps(CLAIMS).replace(f'"exp": {AT + 900}', f'"exp": {number}').encode()
    assert number.encode() in payload
    with pytest.raises(Unauthenticated):
        verify(jwt.PyJWS().encode(payload, KEY.encode(), "HS256"))


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_only_one_algorithm_is_taken(algorithm):
    with pytest.raises(Unauthenticated):
        verify(jwt.encode(CLAIMS, None if algorithm == "none" else KEY * 2, algorithm), KEY * 2)


def test_none_in_any_spelling_and_with_a_true_signature_is_refused():
    _, payload, signature = issued().split(".")
    for name in ("none", "None", "NONE", "nOnE", "", None, ["HS256"]):
        header = base64.urlsafe_b64encode(json.dumps({"alg": name}).encode()).rstrip(b"=").decode()
        for tail in (signature, ""):
            with pytest.raises(Unauthenticated):
                verify(f"{header}.{payload}.{tail}")


def test_another_key_is_refused():
    with pytest.raises(Unauthenticated):
        verify(issued("another key that is just as long as that one"))


def test_keys_rotate_without_logging_anybody_out():
    old, new = "old " * 10, "new " * 10
    token = issued(old)
    assert verify(token, f"{new},{old}").user_id == USER
    fresh = issued(f"{new}, {old}")
    assert verify(fresh, new).user_id == USER
    with pytest.raises(Unauthenticated):
        verify(fresh, old)
    with pytest.raises(Unauthenticated):
        verify(token, new)  # the old one was taken away: also from what was believed before
    assert jwt.get_unverified_header(token)["kid"] != jwt.get_unverified_header(fresh)["kid"]
    without_kid = jwt.encode(CLAIMS, old.strip(), "HS256")
    assert verify(without_kid, f"{new},{old}").user_id == USER


def test_an_empty_key_signs_for_nobody():
    for key in ("", " , "):
        with pytest.raises(SettingsError):
            issued(key)


@pytest.mark.parametrize("keys", [KEY, f"{KEY},{KEY}2"])
@given(
    text=st.text(max_size=200)
    | st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}")
)
def test_any_text_at_all_is_unauthenticated_and_nothing_worse(keys, text):
    with pytest.raises(Unauthenticated):
        verify(text, keys)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("keys", [KEY, f"{KEY},{KEY}2"])
@given(header=_JSON | st.fixed_dictionaries({"alg": _JSON, "kid": _JSON, "crit": _JSON, "b64": _JSON}))
def test_any_header_at_all_is_unauthenticated_and_nothing_worse(keys, header):
    _, payload, signature = issued().split(".")
    first = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    with pytest.raises(Unauthenticated):
        verify(f"{first}.{payload}.{signature}", keys)


@given(payload=_JSON | st.fixed_dictionaries(dict.fromkeys(CLAIMS, _JSON)))
def test_any_payload_at_all_even_signed_is_unauthenticated_and_nothing_worse(payload):
    with pytest.raises(Unauthenticated):
        verify(jwt.PyJWS().encode(json.dumps(payload).encode(), KEY.encode(), "HS256"))


@given(at=st.integers(0, 10_000), byte=st.integers(0, 127))
def test_a_token_with_one_character_changed_is_refused(at, byte):
    token = issued()
    at %= len(token)
    changed = token[:at] + chr(byte) + token[at + 1 :]
    try:
        actor = verify(changed)
    except Unauthenticated:
        return
    # The last character of each base64 part has bits that mean nothing.
    assert actor == verify(token)
    assert at + 1 in {i for i, c in enumerate(token + ".") if c == "."} or changed == token


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"a":' * 1500, "." * 8000, "a" * 9000, "\ud800.\ud800.\ud800", "é.é.é"]
)
def test_rubbish_that_is_deep_or_long_is_refused(text):
    nested = base64.urlsafe_b64encode(text.encode(errors="replace")).rstrip(b"=").decode()
    for token in (text, f"{nested}.{nested}.{nested}"):
        for keys in (KEY, f"{KEY},{KEY}2"):
            with pytest.raises(Unauthenticated):
                verify(token, keys)


def test_the_signature_of_a_token_that_is_brought_again_is_not_computed_again(monkeypatch):
    token, other = issued(), issued()
    first = verify(token)

    def compute(*_):
        raise ValueError("computed")

    monkeypatch.setattr(tokens, "_payload", compute)
    for _ in range(10):
        assert verify(token) is first
    with pytest.raises(Unauthenticated):
        verify(other)
