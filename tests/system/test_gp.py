"""GPs as phones live them, over two nodes, with the clock moved."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from chatd.core.settings import Gp, Settings
from tests.system.world import Phone, World

KEY = "the-operators-key"
DELHI = {"latitude": 28.6139, "longitude": 77.2090}
BODY = {
    "category": "Vibe GP",
    "subType": "Chill",
    "specificName": "",
    "genre": "",
    "talkTopics": ["Life stuff", "Overthinking & mental vibe"],
    "description": "Chill late-night talk about overthinking and life.",
    "creationReason": "Feeling lonely today",
    "reasonNote": "Want to just talk",
    "location": {**DELHI, "city": "New Delhi", "zone": "Central"},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = msgspec.structs.replace(settings.secrets, internal_api_key=KEY)
    return msgspec.structs.replace(settings, secrets=secrets, gp=Gp(moves_per_hour=0))


async def create(world: World, user: str, *, node: int = 0, **changes) -> dict:
    status, answer = await world.rest(user, "POST", "/api/gp/create", BODY | changes, node=node)
    assert status == 201, answer
    assert answer["success"] is True
    return answer["gp"]


async def post(world: World, user: str, path: str, body: dict, *, node: int = 0) -> tuple[int, dict]:
    return await world.rest(user, "POST", f"/api/gp/{path}", body, node=node)


async def expire(world: World, node: int = 0) -> dict:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with world.http.post(world.url(node) + "/api/gp/expire", headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def phone(world: World, user: str, *, node: int = 0) -> Phone:
    """One whose token outlives the hours that a test lets pass."""
    return await world.phone(user, node=node, token=world.token(user, ttl=80_000))


async def talk(phones: list[Phone], chat: str, each: int) -> None:
    for phone in phones:
        for i in range(each):
            assert (await phone.say(chat, f"{i}"))["type"] == "ack"


async def test_a_gp_lives_from_creation_to_permanence(two: World) -> None:
    ann, bob, cat, dan, eve = await two.users(5)
    watcher = await phone(two, eve, node=1)
    full = await watcher.call("gp.watch", **DELHI)
    assert (full["type"], full["change"], full["gps"]) == ("gp.nearby", "full", [])

    a = await phone(two, ann)
    gp = await create(two, ann)
    chat, gp_id = gp["chatId"], gp["_id"]
    joined = await a.event("chat.joined")
    assert (joined["chat"]["type"], joined["chat"]["context_id"]) == ("gp", gp_id)
    near = await watcher.event("gp.nearby", change="changed")
    assert (near["gps"][0]["gp_id"], near["gps"][0]["distance_km"]) == (gp_id, 0.0)

    # Bob finds it and joins; both of his phones, on two nodes, are in the chat at once.
    b, b2 = await phone(two, bob), await phone(two, bob, node=1)
    path = f"/api/gp/list?latitude={DELHI['latitude']}&longitude={DELHI['longitude']}"
    status, found = await two.rest(bob, "GET", path, node=1)
    assert status == 200
    assert [each["_id"] for each in found["gps"]] == [gp_id]
    assert found["gps"][0]["chatId"] is None
    assert (await post(two, bob, "join", {"gpId": gp_id}, node=1))[0] == 200
    for each in (b, b2):
        assert (await each.event("chat.joined"))["chat"]["id"] == chat
    assert (await a.event("gp.member_joined", user_id=bob))["member_count"] == 2
    c, d = await phone(two, cat, node=1), await phone(two, dan)
    for user in (cat, dan):
        assert (await post(two, user, "join", {"gpId": gp_id}))[0] == 200
    await c.event("chat.joined")
    await d.event("chat.joined")

    # Not yet: too young, too quiet.
    status, answer = await post(two, ann, "permanent-convert", {"gpId": gp_id, "action": "check"})
    assert (status, answer["success"], answer["eligible"]) == (200, True, False)
    assert answer["criteria"]["activeMembers"]["met"] is True
    assert answer["criteria"]["messages"]["met"] is False
    await talk([a, b2, c], chat, 7)
    two.clock.offset = timedelta(hours=2, minutes=31)
    status, answer = await post(two, bob, "update-activity", {"gpId": gp_id, "messageCount": 9999}, node=1)
    assert (status, answer["messageCount"], answer["eligible"]) == (200, 21, True)
    for each in (a, b, b2, c, d):
        await each.event("gp.eligible", gp_id=gp_id)

    # The watch has lapsed in these hours; renewed, it shows what the GP has become.
    full = await watcher.call("gp.watch", **DELHI)
    assert [each["member_count"] for each in full["gps"]] == [4]

    # The vote: four voters, three must say yes.
    status, answer = await post(two, bob, "permanent-convert", {"gpId": gp_id, "action": "check"})
    assert (answer["status"], answer["gp"]["permanentConversion"]["needed"]) == ("voting", 3)
    yes = {"gpId": gp_id, "action": "vote", "vote": "yes"}
    assert (await post(two, ann, "permanent-convert", yes | {"vote": "no"}))[1]["status"] == "voting"
    assert (await post(two, bob, "permanent-convert", yes, node=1))[1]["status"] == "voting"
    assert (await post(two, ann, "permanent-convert", yes))[1]["myVote"] == "yes"
    status, answer = await post(two, cat, "permanent-convert", yes, node=1)
    assert (answer["status"], answer["gp"]["status"]) == ("approved", "converted")
    for each in (a, b, b2, c, d):
        done = await each.event("gp.converted", gp_id=gp_id)
        assert (done["admin_id"], done["moderator_id"]) == (ann, bob)
    assert (await watcher.event("gp.nearby", change="removed"))["gp_ids"] == [gp_id]

    # The chat is a group with all that was said, beyond the GP's time.
    two.clock.offset = timedelta(hours=6)
    status, detail = await two.rest(dan, "GET", f"/api/chats/{chat}")
    assert (detail["type"], detail["read_only"]) == ("group", False)
    roles = {member["user_id"]: member["role"] for member in detail["members"]}
    assert roles == {ann: "owner", bob: "moderator", cat: "member", dan: "member"}
    assert (await expire(two))["expired"] == 0
    assert (await d.say(chat, "still here"))["type"] == "ack"
    status, answer = await post(two, dan, "leave", {"gpId": gp_id})
    assert (status, answer["success"], answer["code"]) == (409, False, "gp_not_active")


async def test_a_gp_ends_when_its_time_is_over_for_every_reader_and_then_by_the_job(two: World) -> None:
    ann, bob, cat = await two.users(3)
    a, b = await phone(two, ann), await phone(two, bob, node=1)
    gp = await create(two, ann)
    chat, gp_id = gp["chatId"], gp["_id"]
    await post(two, bob, "join", {"gpId": gp_id}, node=1)
    await b.event("chat.joined")
    two.clock.offset = timedelta(hours=3, minutes=46)
    await asyncio.gather(expire(two), expire(two, 1))
    for each in (a, b):
        await each.event("gp.expiring", gp_id=gp_id)
    two.clock.offset = timedelta(hours=4, minutes=1)
    # No job has run yet.
    status, answer = await post(two, cat, "join", {"gpId": gp_id}, node=1)
    assert (status, answer["code"]) == (409, "gp_not_active")
    assert (await two.rest(ann, "GET", "/api/gp/list"))[1]["gps"] == []
    assert (await two.rest(ann, "GET", f"/api/gp/{gp_id}"))[1]["gp"]["status"] == "expired"
    assert (await two.rest(cat, "GET", f"/api/gp/{gp_id}"))[0] == 404
    done = await asyncio.gather(expire(two), expire(two, 1))
    assert sum(each["expired"] for each in done) == 1
    for each in (a, b):
        await each.event("gp.expired", gp_id=gp_id, status="expired")
        await each.fence()
        assert len(each.seen("gp.expired")) == len(each.seen("gp.expiring")) == 1
    assert (await a.say(chat, "too late"))["code"] == "forbidden"
    assert (await two.rest(bob, "GET", f"/api/chats/{chat}/messages"))[0] == 200
    assert [each["_id"] for each in (await two.rest(bob, "GET", "/api/gp/my-gps"))[1]["gps"]] == [gp_id]


async def test_without_the_operators_key_nobody_expires_anything(one: World) -> None:
    (ann,) = await one.users(1)
    status, answer = await one.rest(ann, "POST", "/api/gp/expire")
    assert (status, answer["success"], answer["code"]) == (401, False, "unauthenticated")


@pytest.mark.parametrize("blocker", ["inside", "outside"])
async def test_who_has_a_block_with_somebody_inside_does_not_meet_them(one: World, blocker: str) -> None:
    ann, bob, eve = await one.users(3)
    gp_id = (await create(one, ann))["_id"]
    assert (await post(one, bob, "join", {"gpId": gp_id}))[0] == 200
    phone = await one.phone(eve)
    pair = (ann, eve) if blocker == "inside" else (eve, ann)
    assert (await one.rest(pair[0], "PUT", f"/api/blocks/{pair[1]}"))[0] == 204

    where = "latitude={latitude}&longitude={longitude}".format(**DELHI)

    async def seen(who: str) -> list[int]:
        found = []
        for path in (f"list?{where}", f"explore?{where}", f"explore?{where}&category=Vibe%20GP"):
            status, page = await one.rest(who, "GET", f"/api/gp/{path}")
            assert status == 200, page
            found.append(len(page["gps"]))
        found.append(page["pagination"]["total"])
        found.append((await one.rest(who, "GET", f"/api/gp/{gp_id}"))[0])
        return found

    assert await seen(eve) == [0, 0, 0, 0, 404]
    assert await seen(bob) == [1, 1, 1, 1, 200], "to others it is there"
    status, answer = await post(one, eve, "join", {"gpId": gp_id})
    assert (status, answer["code"]) == (404, "gp_not_found"), "as one that is not there: no block is told"
    near = await phone.call("gp.watch", **DELHI)
    assert near["gps"] == []
    watcher = await one.phone(bob)
    await watcher.call("gp.watch", **DELHI)
    (cid,) = await one.users(1)
    assert (await post(one, cid, "join", {"gpId": gp_id}))[0] == 200
    await watcher.event("gp.nearby", change="changed")
    await phone.fence()
    # As with one that is full: gone from the map, which says nothing of a block.
    assert [f["change"] for f in phone.seen("gp.nearby")] == ["full", "removed"]

    assert (await one.rest(pair[0], "DELETE", f"/api/blocks/{pair[1]}"))[0] == 204
    assert await seen(eve) == [1, 1, 1, 1, 200]
    assert (await post(one, eve, "join", {"gpId": gp_id}))[0] == 200
    assert (await one.rest(pair[0], "PUT", f"/api/blocks/{pair[1]}"))[0] == 204
    assert (await one.rest(eve, "GET", f"/api/gp/{gp_id}"))[0] == 200, "who is in stays in"
