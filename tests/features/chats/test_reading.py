"""Lists, views, heads, and what is unread: against a plain model."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatd.core.errors import ValidationFailed
from chatd.core.ids import UuidIds
from chatd.core.paging import encode_cursor
from chatd.features.chats import api, changes, service, store
from chatd.features.chats.contract import HeadsAsk, ListChats, SystemContent

PEOPLE = 3


@dataclass
class Model:
    """A chat as a list: what a member has unread is counted by looking."""

    log: list[dict] = field(default_factory=list)
    marks: list[int] = field(default_factory=lambda: [0] * PEOPLE)

    def unread(self, who: int, cap: int) -> int:
        newest = [entry for entry in self.log if entry["seq"] > self.marks[who] and entry["message"]][-cap:]
        return sum(e["by"] != who and not e["deleted"] and not e["system"] for e in newest)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, PEOPLE - 1), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, PEOPLE - 1), st.integers(0, 30)),
        st.tuples(st.just("delete"), st.just(0), st.integers(0, 30)),
        st.tuples(st.just("system"), st.integers(0, PEOPLE - 1), st.just(0)),
    ),
    max_size=30,
)


async def play(world, chat_id, people, steps):
    model, head = Model(), 0
    for what, who, which in steps:
        messages = [entry for entry in model.log if entry["message"]]
        if what in ("read", "delete") and not messages:
            continue
        chosen = messages[which % len(messages)] if messages else {}
        if what == "read":
            await world.read(chat_id, people[who], chosen["id"])
            model.marks[who] = max(model.marks[who], chosen["seq"])
            continue
        head += 1
        entry = {"seq": head, "by": who, "message": True, "deleted": False, "system": what == "system"}
        if what == "say":
            entry["id"] = await world.say(chat_id, people[who])
        elif what == "system":
            async with world.db.transaction() as tx:
                content = SystemContent(event="title_changed", title=None)
                assert await changes.append_system(tx, world.base, chat_id, people[who], content) == head
            entry["id"] = await world.db.one(
                store.MessageId, "SELECT id FROM chat_messages WHERE chat_id = $1 AND seq = $2", chat_id, head
            )
        else:
            chosen["deleted"], entry["message"] = True, False
            await world.db.run(
                "SELECT append_event($1, 'delete', $2, $3, NULL)", chat_id, chosen["id"], people[0]
            )
            await world.db.run("UPDATE chat_messages SET deleted_at = now() WHERE id = $1", chosen["id"])
        model.log.append(entry)
    return model, head


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, cap=st.sampled_from([1, 3, 9999]))
async def test_heads_and_views_count_as_one_would_by_hand(world, steps, cap):
    world.limited(unread_cap=cap)
    people = await world.people(PEOPLE)
    chat_id = await world.group(*people)
    model, head = await play(world, chat_id, people, steps)
    expected = [(head, model.marks[who], model.unread(who, cap)) for who in range(PEOPLE)]

    asks = [HeadsAsk(user_id, chat_id if who else None) for who, user_id in enumerate(people)]
    heads = await service.HEADS.run(world.base, asks)
    assert [(h.head_seq, h.last_read_seq, h.unread_count) for (h,) in heads] == expected
    views = await service.views(world.db, chat_id, people, unread_cap=cap)
    alone = [await service.view(world.as_(user_id), chat_id) for user_id in people]
    assert [(v.head_seq, v.last_read_seq, v.unread_count) for v in alone] == expected
    assert [views[user_id].unread_count for user_id in people] == [v.unread_count for v in alone]
    newest = max((e["seq"] for e in model.log if e["message"]), default=None)
    for seen in (*views.values(), *alone):
        assert (seen.last_message.seq if seen.last_message else None) == newest


async def test_who_has_very_many_chats_has_them_counted_less_far_at_a_connect(world):
    ada, bob = await world.people(2)
    chats = [await world.group(ada, bob) for _ in range(3)]
    for chat_id in chats:
        for _ in range(120):
            await world.say(chat_id, bob)
    asks = [HeadsAsk(ada), HeadsAsk(ada, chats[0])]
    for total, of_each, of_one in ((1_000_000, 120, 120), (330, 110, 120), (1, 99, 99)):
        world.limited(unread_total=total)
        every, (alone,) = await service.HEADS.run(world.base, asks)
        assert [head.unread_count for head in every] == [of_each] * 3
        assert alone.unread_count == of_one


async def test_heads_answer_each_ask_with_its_own(world):
    ada, bob, eve = await world.people(3)
    direct, group = await world.direct(ada, bob), await world.group(ada, bob)
    await world.say(direct, bob)
    asks = [
        HeadsAsk(ada),
        HeadsAsk(eve),
        HeadsAsk(bob, group),
        HeadsAsk(eve, group),
        HeadsAsk(ada),
        HeadsAsk(ada, UuidIds().new("cht")),
    ]
    answers = [await pending for pending in [world.base.groups.submit(service.HEADS, ask) for ask in asks]]
    assert [[state.chat_id for state in states] for states in answers] == [
        [direct, group],
        [],
        [group],
        [],
        [direct, group],
        [],
    ]
    newest = answers[0][0]
    assert (newest.type, newest.head_seq, newest.unread_count, newest.role) == ("direct", 1, 1, "member")


async def test_the_list_is_by_newest_activity_and_its_pages_do_not_shift(world):
    ada, bob = await world.people(2)
    chats = [await world.group(ada, bob) for _ in range(7)]
    for chat_id in chats:
        await world.say(chat_id, bob)
    first = await api.list_chats(world.as_(ada), ListChats(limit=3))
    assert [chat.id for chat in first.items] == chats[:3:-1]
    await world.say(chats[5], bob)
    await world.group(ada)
    second = await api.list_chats(world.as_(ada), ListChats(limit=3, cursor=first.next_cursor))
    third = await api.list_chats(world.as_(ada), ListChats(limit=3, cursor=second.next_cursor))
    assert [chat.id for chat in second.items + third.items] == chats[3::-1]
    assert third.next_cursor is None


async def test_chats_of_the_same_instant_are_neither_skipped_nor_repeated(world):
    ada, *_ = await world.people(1)
    chats = {await world.group(ada) for _ in range(5)}
    await world.db.run("UPDATE chat_chats SET last_event_at = '2026-01-01T00:00:00Z'")
    seen, cursor = [], None
    for _ in range(5):
        page = await api.list_chats(world.as_(ada), ListChats(limit=1, cursor=cursor))
        seen += [chat.id for chat in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert len(seen) == 5
    assert set(seen) == chats


CHT = "cht_01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize(
    "cursor",
    ["", "!", "AAAA", encode_cursor(1, 2), encode_cursor("2026-01-01T00:00:00", CHT), "é"],
)
async def test_a_cursor_that_is_none_is_a_validation_error(world, cursor):
    with pytest.raises(ValidationFailed):
        await api.list_chats(world.as_(UuidIds().new("usr")), ListChats(cursor=cursor))


async def test_reactions_stand_by_emoji_in_the_order_they_were_given(world):
    ada, bob, eve = await world.people(3)
    chat_id = await world.group(ada, bob, eve)
    message_id = await world.say(chat_id, ada)
    given = [("👍", eve), ("🎉", ada), ("👍", ada), ("👍", bob)]
    for minute, (emoji, user_id) in enumerate(given):
        await world.db.run(
            "INSERT INTO message_reactions (message_id, emoji, user_id, created_at) "
            "VALUES ($1, $2, $3, timestamptz '2026-01-01T00:00:00Z' + $4 * interval '1 minute')",
            message_id,
            emoji,
            user_id,
            minute,
        )
    found = await service.messages_by_ids(world.db, [message_id, UuidIds().new("msg")])
    assert list(found) == [message_id]
    reactions = [(r.emoji, r.count, r.user_ids) for r in found[message_id].reactions]
    assert reactions == [("👍", 3, [eve, ada, bob]), ("🎉", 1, [ada])]


async def test_a_deleted_message_keeps_its_place_and_nothing_else(world):
    ada, bob = await world.people(2)
    chat_id = await world.direct(ada, bob)
    message_id = await world.say(chat_id, ada, "secret")
    await world.db.run("INSERT INTO message_reactions VALUES ($1, '👍', $2)", message_id, bob)
    await world.db.run("UPDATE chat_messages SET deleted_at = now() WHERE id = $1", message_id)
    last = (await service.view(world.as_(bob), chat_id)).last_message
    assert msgspec.json.decode(last.content) == {"type": "tombstone"}
    assert b"secret" not in msgspec.json.encode(last)
    assert (last.seq, last.reactions) == (1, [])


async def test_a_chat_is_on_the_wire_as_the_protocol_writes_it(world):
    ada, bob = await world.people(2)
    await world.group(ada, bob)
    chat_id = await world.direct(ada, bob)
    await world.say(chat_id, bob)
    page = msgspec.json.decode(msgspec.json.encode(await api.list_chats(world.as_(ada), ListChats())))
    direct, group = page["items"]
    named = {
        "id", "type", "title", "context_id", "created_at", "member_count", "my_role", "head_seq",
        "last_read_seq", "unread_count", "last_message",
    }  # fmt: skip
    assert set(group) - {"read_only"} == named
    assert set(direct) - {"read_only"} == named | {"peer_id"}
    assert (direct["title"], direct["peer_id"], direct["unread_count"]) == (None, bob, 1)
    assert direct["created_at"].endswith("Z")
    assert set(direct["last_message"]) == {
        "id", "chat_id", "seq", "updated_seq", "sender_id", "client_message_id", "content", "reply_to",
        "reactions", "sent_at", "edited_at", "deleted_at", "moderation_status",
    }  # fmt: skip
    detail = await api.get_chat(world.as_(ada), chat_id)
    assert set(msgspec.json.decode(msgspec.json.encode(detail))["members"][0]) == {
        "user_id", "role", "joined_at", "last_read_seq",
    }  # fmt: skip


async def test_only_those_with_a_chat_in_common_are_shared(world):
    ada, bob, eve, mallory = await world.people(4)
    await world.direct(ada, bob)
    await world.group(eve, bob)
    everybody = [ada, bob, eve, mallory, UuidIds().new("usr")]
    assert await service.members_shared(world.db, ada, everybody) == {ada, bob}
    assert await service.members_shared(world.db, bob, everybody) == {ada, bob, eve}
    assert await service.members_shared(world.db, mallory, everybody) == set()
    assert await service.members_shared(world.db, ada, []) == set()
