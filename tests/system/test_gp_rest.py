"""Each of the document's eleven endpoints, called as its examples call it."""

from datetime import timedelta

import msgspec
import pytest

from chatd.core.settings import Gp, Settings
from tests.system.test_gp import BODY, DELHI, KEY, create, post
from tests.system.world import World


@pytest.fixture
def settings(settings: Settings) -> Settings:
    secrets = msgspec.structs.replace(settings.secrets, internal_api_key=KEY)
    return msgspec.structs.replace(settings, secrets=secrets, gp=Gp(moves_per_hour=3))


async def get(world: World, user: str, path: str) -> tuple[int, dict]:
    return await world.rest(user, "GET", f"/api/gp/{path}")


async def test_create_answers_the_gp_and_list_finds_it_without_a_position(one: World) -> None:
    (ann,) = await one.users(1)
    gp = await create(one, ann)
    assert {name: gp[name] for name in ("category", "subType", "talkTopics", "description")} == {
        name: BODY[name] for name in ("category", "subType", "talkTopics", "description")
    }
    assert gp["location"] == {"city": "New Delhi", "zone": "Central"}
    assert (gp["specificName"], gp["genre"]) == (None, None)
    assert (gp["memberCount"], gp["maxMembers"], gp["status"], gp["timeLeft"]) == (1, 5, "active", 240)
    assert gp["members"][0]["_id"] == gp["createdBy"] == ann
    # As the document's own client does: fetch('/api/gp/list').
    status, found = await get(one, ann, "list")
    assert (status, found["success"]) == (200, True)
    assert [(each["_id"], each["distance"]) for each in found["gps"]] == [(gp["_id"], 0.0)]


async def test_list_without_any_position_says_what_to_send(one: World) -> None:
    (ann,) = await one.users(1)
    status, answer = await get(one, ann, "list")
    assert (status, answer["success"], answer["code"]) == (422, False, "gp_position_unknown")
    assert "latitude and longitude" in answer["message"]


async def test_join_leave_details_and_my_gps(one: World) -> None:
    ann, bob, *others = await one.users(6)
    gp_id = (await create(one, ann))["_id"]
    status, answer = await post(one, bob, "join", {"gpId": gp_id})
    assert (status, answer["success"], answer["gp"]["isMember"]) == (200, True, True)
    status, answer = await post(one, bob, "join", {"gpId": gp_id})
    assert (status, answer["success"], answer["code"]) == (409, False, "gp_already_member")
    for user in others[:3]:
        assert (await post(one, user, "join", {"gpId": gp_id}))[0] == 200
    status, answer = await post(one, others[3], "join", {"gpId": gp_id})
    assert (status, answer["code"]) == (409, "gp_full")
    status, answer = await get(one, others[3], gp_id)
    assert (status, answer["gp"]["memberCount"], answer["gp"]["chatId"]) == (200, 5, None)
    assert [each["_id"] for each in (await get(one, bob, "my-gps"))[1]["gps"]] == [gp_id]
    assert (await post(one, bob, "leave", {"gpId": gp_id})) == (
        200,
        {"success": True, "gpId": gp_id, "message": "You have left this GP"},
    )
    assert (await post(one, bob, "leave", {"gpId": gp_id}))[1]["code"] == "gp_not_a_member"
    assert (await get(one, bob, "my-gps"))[1]["gps"] == []
    nobody = "gp_01h455vb4pex5vsknk084sn02q"
    for path in ("join", "leave"):
        status, answer = await post(one, bob, path, {"gpId": nobody})
        assert (status, answer["code"]) == (404, "gp_not_found")
    assert (await get(one, bob, nobody))[0] == 404
    assert (await get(one, bob, "not-an-id"))[0] == 422


async def test_check_limits_has_the_documented_shape(one: World) -> None:
    ann, bob = await one.users(2)
    await create(one, ann)
    status, answer = await get(one, ann, "check-limits?category=Vibe%20GP")
    assert (status, answer["success"], answer["canCreate"]) == (200, True, False)
    limits = answer["limits"]
    assert (
        limits["daily"].items()
        >= {
            "canCreate": True,
            "creationsRemaining": 1,
            "todayCreations": 1,
        }.items()
    )
    assert limits["cooldown"].items() >= {"active": True, "minutesRemaining": 60}.items()
    assert limits["category"].items() >= {"hasActive": True, "category": "Vibe GP"}.items()
    assert limits["system"] == {"limitReached": False, "currentGroups": 1, "maxGroups": 5, "activeUsers": 0}
    status, answer = await get(one, bob, "check-limits")
    assert (status, answer["canCreate"]) == (200, True)


async def test_a_refusal_names_the_limit_and_its_end(one: World) -> None:
    (ann,) = await one.users(1)
    await create(one, ann)
    status, answer = await post(one, ann, "create", BODY)
    assert (status, answer["success"], answer["code"], answer["limit"]) == (
        429,
        False,
        "gp_cooldown",
        "cooldown",
    )
    assert answer["until"] > one.clock.now().isoformat()
    assert answer["retryAfterMs"] > 3_500_000
    assert "60 minutes" in answer["message"]
    one.clock.offset = timedelta(minutes=61)
    status, answer = await post(one, ann, "create", BODY)
    assert (status, answer["limit"]) in ((409, "category"), (429, "daily"))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"subType": "Horror"}, "$.subType"),
        ({"category": "Movie GP", "subType": "Movie Name"}, "$.specificName"),
        ({"category": "Anime GP", "subType": "Genre", "genre": "Thriller"}, "$.genre"),
        ({"talkTopics": []}, "$.talkTopics"),
        ({"reasonNote": "x" * 101}, "$.reasonNote"),
        ({"location": {"latitude": 95, "longitude": 0}}, "$.location.latitude"),
        ({"location": None}, "$.location"),
    ],
)
async def test_what_is_not_in_the_documents_lists_is_refused_by_its_place(
    one: World, changes: dict, path: str
) -> None:
    (ann,) = await one.users(1)
    status, answer = await post(one, ann, "create", BODY | changes)
    assert (status, answer["success"], answer["code"]) == (422, False, "validation_failed")
    assert answer["errors"][0]["path"] == path


async def test_explore_filters_and_pages(one: World) -> None:
    ann, bob, eve = await one.users(3)
    await create(one, ann)
    await create(one, bob, category="Movie GP", subType="Movie Name", specificName="Inception")
    place = f"latitude={DELHI['latitude']}&longitude={DELHI['longitude']}"
    status, found = await get(one, eve, f"explore?{place}&category=Movie%20GP&maxDistance=10")
    assert (status, [each["specificName"] for each in found["gps"]]) == (200, ["Inception"])
    status, found = await get(one, eve, "explore?limit=1&page=2")
    assert found["pagination"] == {"page": 2, "limit": 1, "total": 2, "pages": 2, "hasMore": False}
    assert (await get(one, eve, "explore?vibeType=Chill&topic=Life%20stuff&minTimeRemaining=3"))[1]["gps"]
    assert (await get(one, eve, "explore?limit=0"))[0] == 422


async def test_moving_too_fast_is_refused_until_it_is_not(one: World) -> None:
    (ann,) = await one.users(1)
    for i in range(3):
        assert (await get(one, ann, f"list?latitude={i}&longitude=0"))[0] == 200
    status, answer = await get(one, ann, "list?latitude=50&longitude=0")
    assert (status, answer["code"], answer["limit"]) == (429, "gp_moving_too_fast", "moves")
    assert (await get(one, ann, "list?latitude=2&longitude=0"))[0] == 200


async def test_conversion_and_activity_are_for_members(one: World) -> None:
    ann, bob = await one.users(2)
    gp_id = (await create(one, ann))["_id"]
    status, answer = await post(one, ann, "permanent-convert", {"gpId": gp_id, "action": "vote"})
    assert (status, answer["errors"][0]["path"]) == (422, "$.vote")
    vote = {"gpId": gp_id, "action": "vote", "vote": "yes"}
    assert (await post(one, ann, "permanent-convert", vote))[1]["code"] == "gp_vote_not_open"
    assert (await post(one, bob, "permanent-convert", vote))[1]["code"] == "gp_not_a_member"
    body = {"gpId": gp_id, "messageCount": 25}
    status, answer = await post(one, ann, "update-activity", body)
    assert (status, answer["success"], answer["messageCount"]) == (200, True, 0)
    assert (await post(one, bob, "update-activity", body))[0] == 403


async def test_without_a_token_the_refusal_is_in_the_dialect_too(one: World) -> None:
    status, answer = await one.rest(None, "GET", "/api/gp/list")
    assert (status, answer["success"], answer["code"]) == (401, False, "unauthenticated")
