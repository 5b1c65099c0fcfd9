"""Frames as RFC 6455 and RFC 7692 have them, checked with the library that clients use."""

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from chatd.core import ids
from chatd.core.errors import ValidationFailed
from chatd.wire import codec


def _parse(data: bytes, *, deflate: bool = False) -> list[bytes]:
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    extensions = [PerMessageDeflate(True, True, 15, 15)] if deflate else []
    found = []
    while reader.buffer:
        parsing = Frame.parse(reader.read_exact, mask=False, extensions=extensions)
        try:
            next(parsing)
        except StopIteration as done:
            frame = done.value
            assert frame.opcode is Opcode.TEXT
            assert frame.fin
            found.append(bytes(frame.data))
    return found


payloads = st.lists(
    st.binary(max_size=300)
    | st.integers(0, 2).map(lambda n: b"x" * (65_534 + n))
    | st.integers(124, 128).map(lambda n: b"y" * n),
    max_size=5,
)


@given(payloads)
def test_finished_frames_are_frames_alone_and_joined(bodies: list[bytes]) -> None:
    joined = b"".join(codec.frame_of(body) for body in bodies)
    assert _parse(joined) == bodies
    assert codec.payloads(joined) == bodies


@given(payloads)
def test_deflated_frames_inflate_to_the_same(bodies: list[bytes]) -> None:
    joined = b"".join(codec.frame_of(body) for body in bodies)
    assert _parse(codec.deflated(joined), deflate=True) == bodies


@given(st.binary(min_size=16, max_size=16))
def test_ids_and_uuids_go_both_ways(value: bytes) -> None:
    typeid = ids.from_bytes("usr", value)
    assert len(typeid) == 30
    assert ids.to_bytes(typeid) == value


def test_the_typeid_specifications_own_example() -> None:
    # https://github.com/jetify-com/typeid/blob/main/spec/valid.json
    value = bytes.fromhex("0110c8531d0952d8d73e1194e95b5f19")
    assert ids.from_bytes("prefix", value) == "prefix_0123456789abcdefghjkmnpqrs"


class _Inner(msgspec.Struct):
    text: Annotated[str, msgspec.Meta(max_length=3)]


class _Outer(msgspec.Struct, rename={"inner": "content"}):
    inner: _Inner
    since: dict[Annotated[str, msgspec.Meta(pattern="^c$")], Annotated[int, msgspec.Meta(ge=0)]] = {}
    others: list[_Inner] = []


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ([], "$"),
        ({}, "$.content"),
        ({"content": 1}, "$.content"),
        ({"content": {}}, "$.content.text"),
        ({"content": {"text": "long"}}, "$.content.text"),
        ({"content": {"text": "x"}, "since": {"c": -1}}, "$.since[*]"),
        ({"content": {"text": "x"}, "since": {"d": 1}}, "$.since"),
        ({"content": {"text": "x"}, "others": [{"text": "x"}, {}]}, "$.others[1].text"),
    ],
)
def test_what_is_wrong_is_named(sent: Any, path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(sent), type=_Outer)
    assert codec.invalid(refused.value).errors[0].path == path


def test_a_failed_validation_always_says_where() -> None:
    (error,) = ValidationFailed("out of range").errors
    assert (error.path, error.message) == ("$", "out of range")
