"""Search: who finds what, as it is now, and nothing that may not be shown."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from chatd.core.ids import UuidIds
from chatd.features.messages import store as messages
from chatd.features.search import indexing, store
from chatd.features.search import service as search
from tests.system.calls import code, ok, said
from tests.system.world import World
from tests.waiting import PATIENCE_S


async def indexed(world: World) -> None:
    """The index has everything that was said."""
    left = """
        SELECT count(*) FROM chat_messages m WHERE m.client_message_id IS NOT NULL AND m.deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM message_search s WHERE s.message_id = m.id)
    """
    async with asyncio.timeout(PATIENCE_S):
        await indexing.follow(world.nodes[0].ctx)
        # It reads no further than to what somebody is writing, and nothing where the node's own job is at it.
        while await world.nodes[0].db.one(int, f"SELECT ({left}) + (SELECT count(*) FROM search_again)"):
            await indexing.follow(world.nodes[0].ctx)


async def find(world: World, user: str, text: str | None = None, **asked: Any) -> list[Any]:
    asked |= {"q": text} if text else {}
    query = "&".join(f"{name}={quote(str(value))}" for name, value in asked.items())
    found = await ok(world, user, "GET", f"/search/messages?{query}")
    return list(found["items"])


async def ids(world: World, user: str, text: str | None = None, **asked: Any) -> list[str]:
    return [hit["message"]["id"] for hit in await find(world, user, text, **asked)]


async def test_members_find_words_and_strangers_find_nothing(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat = await one.group(ann, bob)
    first = await said(one, ann, chat, "The quick brown Fox")
    second = await said(one, bob, chat, "a slow fox, brown too")
    await indexed(one)
    assert await ids(one, bob, "FOX brown") == [second, first]
    assert await ids(one, bob, '"brown fox"') == [first]
    assert await ids(one, bob, "quick or slow") == [second, first]
    assert await ids(one, bob, "fox -slow") == [first]
    assert await ids(one, bob, "wolf") == []
    assert await ids(one, cid, "fox") == []
    assert await ids(one, cid, "fox", chat_id=chat) == []
    assert await ids(one, cid, chat_id=chat) == []
    await ok(one, bob, "DELETE", f"/chats/{chat}/members/me")
    assert await ids(one, bob, "fox") == []


async def test_the_filters_hold_together(one: World) -> None:
    ann, bob = await one.users(2)
    here, there = await one.group(ann, bob), await one.group(ann, bob)
    a = await said(one, ann, here, "word one")
    b = await said(one, bob, here, "word two")
    c = await said(one, bob, there, "word three")
    await one.nodes[0].db.run(
        """
        UPDATE chat_messages SET content = content || '{"attachments": [{"media_id": "med_x"}]}' WHERE id = $1
        """,
        b,
    )
    await indexed(one)
    times = {hit["message"]["id"]: hit["message"]["sent_at"] for hit in await find(one, ann, "word")}
    assert list(times) == [c, b, a]
    assert await ids(one, ann, "word", sender_id=bob) == [c, b]
    assert await ids(one, ann, sender_id=bob, chat_id=here) == [b]
    assert await ids(one, ann, "word", has_attachment="true") == [b]
    assert await ids(one, ann, has_attachment="true", chat_id=there) == []
    assert await ids(one, ann, "word", **{"from": times[b]}) == [c, b]
    assert await ids(one, ann, "word", to=times[b]) == [a]
    assert await ids(one, ann, "word", **{"from": times[b], "to": times[c]}) == [b]
    for nothing in ("", "q=%20", "from=" + quote(times[a])):
        assert await code(one, ann, "GET", f"/search/messages?{nothing}") == "validation_failed"
    assert await ids(one, ann, "!!! ...") == []


async def test_an_edit_a_deletion_and_a_hiding_count_at_once(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    edited, deleted, hidden = [await said(one, ann, chat, f"secret {i}") for i in range(3)]
    await indexed(one)
    path = f"/chats/{chat}/messages"
    await ok(one, ann, "PATCH", f"{path}/{edited}", {"content": {"type": "text", "text": "harmless"}})
    await ok(one, ann, "DELETE", f"{path}/{deleted}")
    db = one.nodes[0].db
    await db.run("UPDATE chat_messages SET moderation_status = 'hidden' WHERE id = $1", hidden)
    assert await ids(one, bob, "secret") == []
    assert await ids(one, bob, "harmless") == [edited]
    assert await ids(one, bob, sender_id=ann) == [edited]
    assert await db.one(int, "SELECT count(*) FROM message_search WHERE message_id = $1", deleted) == 0
    await db.run("UPDATE chat_messages SET moderation_status = 'visible' WHERE id = $1", hidden)
    assert await ids(one, bob, "secret") == [hidden]


async def test_an_entry_that_is_behind_finds_nothing_that_is_not_so(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    await said(one, ann, chat, "new ones")
    await indexed(one)
    await one.nodes[0].db.run("UPDATE message_search SET document = to_tsvector('simple', 'old words')")
    assert await ids(one, bob, "old") == []


@pytest.mark.parametrize("change", ["edit", "deletion"])
async def test_what_changes_while_it_is_read_is_read_again(one: World, change: str) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    mid = await said(one, ann, chat, "old words")
    db, path = one.nodes[0].db, f"/chats/{chat}/messages/{mid}"
    async with db.transaction() as reader:
        while not await store.index(reader, 10):
            await asyncio.sleep(0)  # the node's own job was at it, or something else was being written
        if change == "edit":
            await ok(one, ann, "PATCH", path, {"content": {"type": "text", "text": "new ones"}})
        else:
            await ok(one, ann, "DELETE", path)
        assert await db.one(int, "SELECT count(*) FROM message_search") == 0  # the reader's is not there yet
    await indexed(one)
    assert await ids(one, bob, "new") == ([mid] if change == "edit" else [])
    words = "SELECT count(*) FROM message_search WHERE document @@ 'old'"
    assert await db.one(int, words) == 0


async def test_highlights_are_the_messages_own_text_and_no_markup_of_it(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    await said(one, ann, chat, "<script>alert('fox')</script> & a \x02fox\x03 <b>fox</b> <mark>")
    await indexed(one)
    (hit,) = await find(one, bob, "fox")
    assert hit["highlight"].count("<mark>fox</mark>") == 3
    stripped = hit["highlight"].replace("<mark>fox</mark>", "fox")
    assert "<" not in stripped
    assert "script&gt;alert(&#x27;fox" in stripped
    (hit,) = await find(one, bob, sender_id=ann)
    assert hit["highlight"] is None


async def test_pages_are_stable_while_messages_arrive(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    expected = [await said(one, ann, chat, f"word {i}") for i in range(7)][::-1]
    await indexed(one)
    seen: list[str] = []
    cursor = ""
    while True:
        page = await ok(one, bob, "GET", f"/search/messages?q=word&limit=3{cursor}")
        seen += [hit["message"]["id"] for hit in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
        await said(one, ann, chat, f"word late {len(seen)}")
        await indexed(one)
    assert seen == expected
    assert await code(one, bob, "GET", "/search/messages?q=word&cursor=nonsense") == "validation_failed"


async def test_every_way_of_looking_finds_the_same(one: World) -> None:
    ann, bob = await one.users(2)
    chats = [await one.group(ann, bob) for _ in range(3)]
    other = await one.group(ann)
    sends = [said(one, ann, chat, f"word {i}") for i in range(8) for chat in (*chats, other)]
    await asyncio.gather(*sends)
    await indexed(one)
    db = one.nodes[0].db
    await db.run("ANALYZE message_search")

    async def look(most: int, text: str | None = "word", chat: str | None = None) -> list[str]:
        none: Any = None
        found = await search.store.search(db, bob, text, chat, ann, False, none, none, none, 10, most)
        return list(found)

    by_words = await look(1000)
    assert len(by_words) == 10
    assert by_words == sorted(by_words, reverse=True)
    assert await look(1) == by_words  # by chat
    # As many messages as to make a walk over all chats look shorter.
    await db.run("UPDATE chat_chats SET message_count = 1000000")
    assert await look(1) == by_words
    assert await look(1, None) == by_words
    assert await look(1, "word", chats[0]) == await look(1000, "word", chats[0])


async def test_what_is_stored_late_is_not_passed_over(one: World) -> None:
    ann, bob = await one.users(2)
    here, there = await one.group(ann, bob), await one.group(ann, bob)
    db, late = one.nodes[0].db, UuidIds().new("msg")
    async with db.transaction() as slow:
        content = '{"type": "text", "text": "late", "attachments": []}'
        await messages.append(slow, [here], [ann], [late], [1], [late], [content], [None], None, None, False)
        after = await said(one, bob, there, "after")
        await indexing.follow(one.nodes[0].ctx)
        assert await ids(one, bob, "late or after") == []  # an earlier one may yet be seen
    await indexed(one)
    assert await ids(one, bob, "late or after") == [after, late]


async def test_a_clock_that_was_put_back_hides_nothing(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    first = await said(one, ann, chat, "word one")
    await indexed(one)
    await one.nodes[0].db.run("UPDATE search_cursor SET at = clock_timestamp() + interval '1 hour'")
    second = await said(one, ann, chat, "word two")
    await indexed(one)
    assert await ids(one, bob, "word") == [second, first]


async def test_what_was_said_can_be_found_within_two_seconds_without_being_asked_to(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    mid = await said(one, ann, chat, "hello there")
    async with asyncio.timeout(PATIENCE_S):
        while await ids(one, bob, "hello") != [mid]:
            await asyncio.sleep(0.1)
