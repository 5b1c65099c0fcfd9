"""No frame makes a traceback, a silent close where an error was due, or a changed row."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from tests.system.world import Phone, World

BAD: list[tuple[Any, str]] = [
    ("not json", "bad_frame"),
    ("[]", "bad_frame"),
    ("null", "bad_frame"),
    ('"message.send"', "bad_frame"),
    ("[" * 9000, "bad_frame"),
    ('{"a":' * 3000, "bad_frame"),
    ("", "bad_frame"),
    (b"\x00\x01", "bad_frame"),
    ("{}", "validation_failed"),
    ('{"type":7}', "validation_failed"),
    ('{"type":"no.such"}', "unknown_type"),
    ('{"type":"message.send"}', "validation_failed"),
    ('{"type":"message.send","chat_id":null}', "validation_failed"),
    ('{"type":"sync","chat_id":"usr_01h455vb4pex5vsknk084sn02q","after_seq":0}', "validation_failed"),
    ('{"type":"sync","chat_id":"cht_01h455vb4pex5vsknk084sn02q","after_seq":-1}', "validation_failed"),
    ('{"type":"sync","chat_id":"cht_01h455vb4pex5vsknk084sn02q","after_seq":1e99}', "validation_failed"),
    ('{"type":"sync","chat_id":"cht_01h455vb4pex5vsknk084sn02q","after_seq":0}', "chat_not_found"),
    ('{"type":"presence.set","status":"asleep"}', "validation_failed"),
    ('{"type":"ping","id":"' + "x" * 65 + '"}', "validation_failed"),
    ('{"type":"connection.init"}', "conflict"),
    ('{"type":"auth.refresh","token":"nonsense"}', "unauthenticated"),
]


def _send(chat: str, **content: Any) -> str:
    return json.dumps({"type": "message.send", "chat_id": chat, "client_message_id": "x", **content})


async def _answer(phone: Phone, data: Any) -> dict[str, Any]:
    seen = len(phone.frames)
    await phone.socket.send(data)
    return await phone.wait(lambda f: f["type"] == "error" and f in phone.frames[seen:])


@pytest.mark.parametrize(("data", "code"), BAD, ids=[str(i) for i in range(len(BAD))])
async def test_a_frame_that_is_no_command_gets_an_error_and_the_socket_lives(
    one: World, data: Any, code: str
) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    assert (await _answer(phone, data))["code"] == code
    assert (await phone.call("ping"))["type"] == "pong"


@pytest.mark.parametrize("sent", [b'{"type":"\xff\xfe"}', b'{"type":"ping","unknown":"\xff"}'])
async def test_bytes_that_are_not_utf8_get_an_error(one: World, sent: bytes) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    await phone.socket.send(sent, text=True)
    assert (await phone.event("error"))["code"] == "bad_frame"
    await phone.fence()


async def test_texts_out_of_bounds_are_refused_and_nothing_is_stored(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    phone = await one.phone(ann)
    for content in (
        {"content": {"type": "text", "text": ""}},
        {"content": {"type": "text", "text": "x" * 4001}},
        {"content": {"type": "text", "text": "a\x00b"}},
        {"content": {"type": "text"}},
        {"content": {"text": "x"}},
        {"content": {"type": "system", "event": "members_joined"}},
        {"content": {"type": "tombstone"}},
        {"content": "hello"},
        {"content": {"type": "text", "text": "x"}, "reply_to": "msg_nonsense"},
        {"content": {"type": "text", "text": "x"}, "client_message_id": ""},
        {"content": {"type": "text", "text": "x"}, "client_message_id": "x" * 65},
        {"content": {"type": "text", "text": "x"}, "client_message_id": "a\x00"},
        {"content": {"type": "text", "text": "x"}, "client_message_id": 7},
        {"content": {"type": "text", "text": "x", "attachments": [{"media_id": "med_x"}]}},
    ):
        error = await _answer(phone, _send(chat, **content))
        assert error["code"] == "validation_failed", content
        assert error["errors"][0]["path"].startswith("$")
    error = await _answer(
        phone, _send(chat, content={"type": "text", "text": "x"}, reply_to="msg_01h455vb4pex5vsknk084sn02q")
    )
    assert error["code"] == "message_not_found"
    strangers = {"type": "text", "text": "x", "mentions": ["usr_01h455vb4pex5vsknk084sn02q"]}
    nowhere = {"type": "text", "text": "x", "attachments": [{"media_id": "med_01h455vb4pex5vsknk084sn02q"}]}
    for content, path in ((strangers, "$.content.mentions"), (nowhere, "$.content.attachments")):
        error = await _answer(phone, _send(chat, content=content))
        assert (error["code"], error["errors"][0]["path"]) == ("validation_failed", path)
    assert (await phone.say(chat, "é" * 4000))["seq"] == 1


async def test_unknown_fields_are_ignored(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    phone = await one.phone(ann)
    await phone.socket.send(_send(chat, content={"type": "text", "text": "x", "font": "big"}, colour="red"))
    assert (await phone.event("ack"))["seq"] == 1


async def test_a_frame_that_is_too_large_closes_with_4413(one: World) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    await phone.socket.send(json.dumps({"type": "ping", "pad": "x" * 17_000}))
    assert await phone.closed() == 4413


async def test_since_may_name_thousands_of_chats(one: World) -> None:
    (ann,) = await one.users(1)
    long_since = {one.nodes[0].ids.new("cht"): 7 for _ in range(3000)}
    phone = await one.phone(ann, since=long_since)
    await phone.event("sync.complete")
    await phone.socket.send(json.dumps({"type": "ping", "pad": "x" * 17_000}))
    assert await phone.closed() == 4413


async def test_a_first_frame_that_is_too_large_is_not_read(one: World) -> None:
    socket = await one.raw()
    await socket.send(json.dumps({"type": "ping", "pad": "x" * 17_000}))
    await socket.wait_closed()
    assert socket.close_code == 4413


async def test_too_many_bad_frames_close_with_4400(one: World) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    for _ in range(31):
        await phone.socket.send("junk")
    assert await phone.closed() == 4400


async def test_unmasked_frames_close_with_4400(one: World) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    phone.socket.transport.write(b"\x81\x02{}")
    assert await phone.closed() == 4400


async def test_fragments_make_one_message(one: World) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    await phone.socket.send(['{"type":"pi', 'ng","id"', ':"f1"}'])
    assert (await phone.wait(lambda f: f.get("re") == "f1"))["type"] == "pong"


@pytest.mark.parametrize("begun", [Opcode.TEXT, Opcode.BINARY])
async def test_a_message_inside_the_fragments_of_another_closes_with_4400(one: World, begun: Opcode) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    await phone.fence()
    inside = (Frame(begun, b'{"type":"pi', fin=False), Frame(Opcode.TEXT, b'{"type":"ping","id":"inside"}'))
    phone.socket.transport.write(b"".join(frame.serialize(mask=True) for frame in inside))
    assert await phone.closed() == 4400
    assert not phone.seen("pong")[1:]


async def test_a_ping_inside_the_fragments_of_a_message_is_answered(one: World) -> None:
    (ann,) = await one.users(1)
    phone = await one.phone(ann)
    frames = (
        Frame(Opcode.TEXT, b'{"type":"pi', fin=False),
        Frame(Opcode.PING, b""),
        Frame(Opcode.CONT, b'ng","id":"f1"}'),
    )
    phone.socket.transport.write(b"".join(frame.serialize(mask=True) for frame in frames))
    assert (await phone.wait(lambda f: f.get("re") == "f1"))["type"] == "pong"


async def test_the_first_frame_must_be_connection_init(one: World) -> None:
    socket = await one.raw()
    await socket.send('{"type":"ping","id":"1"}')
    assert json.loads(await socket.recv())["code"] == "unauthenticated"
    await socket.wait_closed()
    assert socket.close_code == 4401


@pytest.mark.parametrize("token", [None, "", "nonsense", "a.b.c"])
async def test_a_wrong_token_closes_with_4401(one: World, token: str | None) -> None:
    socket = await one.raw()
    await socket.send(json.dumps({"type": "connection.init"} | ({} if token is None else {"token": token})))
    assert json.loads(await socket.recv())["code"] == "unauthenticated"
    await socket.wait_closed()
    assert socket.close_code == 4401


async def test_a_silent_client_is_closed_with_4408(one: World) -> None:
    quick = msgspec.structs.replace(one.settings.socket, init_timeout_s=0.3)
    await one.node(socket=quick)
    socket = await one.raw(node=1)
    await socket.wait_closed()
    assert socket.close_code == 4408


async def test_a_foreign_chat_is_no_chat(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob)
    a, e = await one.phone(ann), await one.phone(eve)
    mid = (await a.say(chat, "private"))["message_id"]
    own = await one.group(eve)
    text = {"type": "text", "text": "x"}
    for type_, fields in (
        ("message.send", {"client_message_id": "1", "content": text}),
        ("message.edit", {"message_id": mid, "content": text}),
        ("message.delete", {"message_id": mid}),
        ("reaction.add", {"message_id": mid, "emoji": "x"}),
        ("reaction.remove", {"message_id": mid, "emoji": "x"}),
        ("delivery.read", {"last_read_message_id": mid}),
        ("delivery.received", {"message_id": mid}),
        ("typing.start", {}),
        ("typing.stop", {}),
        ("sync", {"after_seq": 0}),
    ):
        assert (await e.call(type_, chat_id=chat, **fields))["code"] == "chat_not_found", type_
        if "message_id" in fields or "last_read_message_id" in fields:
            # another chat's message through one's own chat
            assert (await e.call(type_, chat_id=own, **fields))["code"] == "message_not_found", type_
    await a.fence()
    assert a.seqs(chat) == [1]
    with pytest.raises(AssertionError):
        await one.phone(eve, path=f"/chats/{chat}")


async def test_a_socket_of_one_chat_hears_and_says_that_chat_alone(one: World) -> None:
    ann, bob = await one.users(2)
    chat, other = await one.group(ann, bob), await one.group(ann, bob)
    a, b = await one.phone(ann, path=f"/chats/{chat}"), await one.phone(bob)
    assert [c["chat_id"] for c in a.ready["chats"]] == [chat]
    ack = await a.call("message.send", client_message_id="1", content={"type": "text", "text": "x"})
    assert ack["chat_id"] == chat
    assert (await a.say(other, "x"))["code"] == "chat_not_found"
    await b.say(other, "there")
    await b.event("message.new", chat_id=other)
    await b.say(chat, "here")
    await a.event("message.new", chat_id=chat, seq=2)
    assert not a.seen("message.new", chat_id=other)


@pytest.mark.parametrize("path", ["/chats/nonsense", "/chats/usr_01h455vb4pex5vsknk084sn02q", "/nowhere"])
async def test_a_path_that_is_no_socket_is_refused_by_http(one: World, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await one.raw(path)
    assert 400 <= refused.value.response.status_code < 500


async def test_a_foreign_origin_is_refused(one: World) -> None:
    with pytest.raises(InvalidStatus):
        await one.raw(origin="https://evil.example")
    same = one.url()
    socket = await one.raw(origin=same)
    await socket.close()


async def test_the_token_may_come_in_the_query_or_in_a_header(one: World) -> None:
    (ann,) = await one.users(1)
    token = one.token(ann)
    for path, headers in ((f"/ws?token={token}", {}), ("/ws", {"Authorization": f"Bearer {token}"})):
        socket = await one.raw(path, additional_headers=headers, subprotocols=["chatd.v1"])
        assert socket.subprotocol == "chatd.v1"
        await socket.send('{"type":"connection.init"}')
        assert json.loads(await socket.recv())["type"] == "connection.ready"
        await socket.close()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_TYPES = [
    *("message.send", "message.edit", "message.delete", "reaction.add", "reaction.remove", "sync"),
    *("delivery.read", "delivery.received", "typing.start", "typing.stop", "presence.set"),
    *("presence.watch", "auth.refresh", "ping", "connection.init"),
]
_FIELDS = [
    *("id", "chat_id", "client_message_id", "content", "reply_to", "message_id", "emoji", "status"),
    *("last_read_message_id", "user_ids", "after_seq", "limit", "token", "since"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(
        st.binary(max_size=60)
        | st.text(max_size=60)
        | st.dictionaries(st.sampled_from(_FIELDS), _json, max_size=6).flatmap(
            lambda fields: st.sampled_from(_TYPES).map(lambda t: json.dumps({"type": t, **fields}))
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_comes_the_socket_answers(fuzz: "Fuzz", frames: list[Any]) -> None:
    fuzz.run(frames)


class Fuzz:
    """One world for all examples: hypothesis and async fixtures do not mix."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, user: str) -> None:
        self.loop, self.world, self.user = loop, world, user

    def run(self, frames: list[Any]) -> None:
        self.loop.run_until_complete(self._run(frames))

    async def _run(self, frames: list[Any]) -> None:
        phone = await self.world.phone(self.user)
        try:
            for frame in frames:
                await phone.socket.send(frame)
            await phone.fence()
        except (ConnectionClosed, AssertionError):
            pytest.fail(f"closed with {phone.socket.close_code} after {frames!r}")
        finally:
            await phone.close()
        assert not [f for f in phone.seen("error") if f["code"] == "internal"], frames


@pytest.fixture
def fuzz(request: pytest.FixtureRequest, services: Any) -> Any:
    """A world on a loop of its own."""
    from tests.system.conftest import UNLIMITED
    from tests.system.fuzzing import own_world

    loop = asyncio.new_event_loop()
    context = own_world(services, msgspec.structs.replace(UNLIMITED, bad_frames_per_minute=0))
    world = loop.run_until_complete(context.__aenter__())
    (user,) = loop.run_until_complete(world.users(1))
    yield Fuzz(loop, world, user)
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()
