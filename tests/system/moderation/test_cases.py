"""Reports open cases, and cases are judged: each rule asked by everybody whom it is about."""

import asyncio
from datetime import timedelta
from typing import Any

from chatd.features.messages import service as messages
from tests.system.calls import post, said
from tests.system.moderation.scene import SPAM, with_filter, written
from tests.system.world import World


async def test_a_report_opens_a_case_and_reports_gather_in_it(one: World, cast: dict[str, Any]) -> None:
    chat, ann, bob = cast["chat"], cast["ann"], cast["bob"]
    message = await said(one, ann, chat, "cheap watches")
    path = f"/api/chats/{chat}/messages/{message}/report"

    status, first = await one.rest(bob, "POST", path, SPAM)
    assert status == 201
    assert first["status"] == "pending"
    assert await one.rest(bob, "POST", path, SPAM) == (200, first)
    assert (await one.rest(cast["mod"], "POST", path, {"reason": "other"}))[0] == 201

    assert (await one.rest(ann, "POST", path, SPAM))[0] == 403, "one's own"
    assert (await one.rest(cast["stranger"], "POST", path, SPAM))[1]["code"] == "chat_not_found"
    assert (await one.rest(bob, "POST", path, {"reason": "because"}))[1]["code"] == "validation_failed"
    gone = f"/api/chats/{chat}/messages/msg_01h455vb4pex5vsknk084sn02q/report"
    assert (await one.rest(bob, "POST", gone, SPAM))[1]["code"] == "message_not_found"

    status, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    assert status == 200
    (case,) = queue["items"]
    assert case["subject_id"] == message
    assert case["author_id"] == ann
    assert case["report_count"] == 2
    assert case["snapshot"]["text"] == "cheap watches"
    await one.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{message}")
    _, detail = await one.rest(cast["staff"], "GET", f"/api/moderation/cases/{case['id']}")
    assert detail["case"]["snapshot"]["text"] == "cheap watches", "evidence outlives the message"
    assert {r["reporter_id"] for r in detail["reports"]} == {bob, cast["mod"]}
    _, detail = await one.rest(cast["mod"], "GET", f"/api/moderation/cases/{case['id']}")
    assert {r["reporter_id"] for r in detail["reports"]} == {None}
    assert (await one.rest(bob, "POST", path, SPAM))[0] == 409, "deleted"


async def test_the_queue_is_for_moderators_each_for_their_own(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["ann"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["admin"], "GET", "/api/moderation/cases")
    case = queue["items"][0]["id"]
    for who, everything, own in (
        ("staff", 200, 200),
        ("admin", 200, 200),
        ("mod", 403, 200),
        ("owner", 403, 200),
        ("ann", 403, 403),
        ("stranger", 403, 404),
    ):
        assert (await one.rest(cast[who], "GET", "/api/moderation/cases"))[0] == everything, who
        assert (await one.rest(cast[who], "GET", f"/api/moderation/cases?chat_id={chat}"))[0] == own, who
        wanted = 200 if own == 200 else 404
        assert (await one.rest(cast[who], "GET", f"/api/moderation/cases/{case}"))[0] == wanted, who
    for path in ("bans", "filters"):
        assert (await one.rest(cast["staff"], "GET", f"/api/moderation/{path}"))[0] == 200
        assert (await one.rest(cast["owner"], "GET", f"/api/moderation/{path}"))[0] == 403
    assert (await one.rest(cast["staff"], "GET", "/api/moderation/audit"))[0] == 403
    assert (await one.rest(cast["admin"], "GET", "/api/moderation/audit"))[0] == 200


async def test_two_moderators_at_once_conflict_cleanly(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["ann"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    both = (cast["staff"], cast["mod"])
    answers = await asyncio.gather(*(one.rest(who, "POST", f"{path}/claim") for who in both))
    assert sorted(status for status, _ in answers) == [200, 409]
    winner, loser = both if answers[0][0] == 200 else both[::-1]
    assert (await one.rest(winner, "POST", f"{path}/claim"))[0] == 200
    assert (await one.rest(loser, "POST", f"{path}/resolve", {"action": "none"}))[0] == 409
    assert (await one.rest(loser, "POST", f"{path}/dismiss", {}))[0] == 409
    assert (await one.rest(winner, "POST", f"{path}/release"))[1]["status"] == "pending"
    one.clock.offset = timedelta(0)
    assert (await one.rest(loser, "POST", f"{path}/claim"))[0] == 200
    one.clock.offset = timedelta(minutes=31)
    assert (await one.rest(winner, "POST", f"{path}/claim"))[0] == 200, "left lying for half an hour"
    one.clock.offset = timedelta(0)
    answers = await asyncio.gather(
        *(one.rest(winner, "POST", f"{path}/resolve", {"action": "hide"}) for _ in range(4))
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    _, detail = await one.rest(winner, "GET", path)
    assert detail["case"]["status"] == "resolved"
    assert detail["case"]["resolution"] == "hide"
    _, log = await one.rest(cast["admin"], "GET", "/api/moderation/audit?limit=200")
    actions = [entry["action"] for entry in log["items"]]
    assert actions.count("message.hidden") == 1
    assert actions.count("case.resolved") == 1


async def test_nobody_judges_a_case_about_themselves(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["mod"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    assert (await one.rest(cast["mod"], "POST", f"{path}/dismiss", {}))[0] == 403
    assert (await one.rest(cast["owner"], "POST", f"{path}/resolve", {"action": "mute"}))[0] == 200
    assert (await post(one, cast["mod"], chat, "still"))[1]["code"] == "muted"


async def test_users_are_reported_and_banned_through_their_case(one: World, cast: dict[str, Any]) -> None:
    ann, bob = cast["ann"], cast["bob"]
    assert (await one.rest(bob, "POST", f"/api/users/{bob}/report", SPAM))[0] == 403
    status, _ = await one.rest(bob, "POST", "/api/users/usr_01h455vb4pex5vsknk084sn02q/report", SPAM)
    assert status == 404
    assert (await one.rest(bob, "POST", f"/api/users/{ann}/report", SPAM))[0] == 201
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    (case,) = queue["items"]
    assert case["subject_id"] == ann
    assert case["snapshot"]["display_name"]
    path = f"/api/moderation/cases/{case['id']}"
    assert (await one.rest(cast["staff"], "POST", f"{path}/resolve", {"action": "kick"}))[0] == 422
    phone = await one.phone(ann)
    status, closed = await one.rest(
        cast["staff"], "POST", f"{path}/resolve", {"action": "ban_server", "duration_s": 60}
    )
    assert status == 200, closed
    assert await phone.closed() == 4403


async def test_what_is_said_in_a_direct_chat_is_judged_by_staff_alone(
    one: World, cast: dict[str, Any]
) -> None:
    ann, bob = cast["ann"], cast["bob"]
    _, direct = await one.rest(ann, "POST", "/api/chats", {"type": "direct", "member_ids": [bob]})
    chat = direct["id"]
    message = await said(one, ann, chat, "cheap watches")
    assert (await one.rest(bob, "PUT", f"/api/chats/{chat}/messages/{message}/hidden", {}))[0] == 403
    assert (await one.rest(bob, "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM))[0] == 201
    assert (await one.rest(bob, "GET", f"/api/moderation/cases?chat_id={chat}"))[0] == 403
    _, queue = await one.rest(cast["staff"], "GET", f"/api/moderation/cases?chat_id={chat}")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    assert (await one.rest(bob, "GET", path))[0] == 404
    assert (await one.rest(bob, "POST", f"{path}/resolve", {"action": "hide"}))[0] == 404
    assert (await one.rest(cast["staff"], "POST", f"{path}/resolve", {"action": "hide"}))[0] == 200
    assert (await written(one, bob, chat))[0]["content"] == {"type": "tombstone"}


async def flagged(world: World, chat: str) -> int:
    """What stands against a GP's permanence."""
    return (await messages.activity(world.nodes[0].db, [chat]))[chat].flagged


async def test_toxicity_is_what_was_found_and_not_what_was_merely_reported(
    one: World, cast: dict[str, Any]
) -> None:
    chat = cast["chat"]
    await with_filter(one, cast["admin"], config={"kind": "words", "words": ["drat"]})
    plain = await said(one, cast["ann"], chat, "hello")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{plain}/report", SPAM)
    assert await flagged(one, chat) == 0
    await said(one, cast["ann"], chat, "drat")
    assert await flagged(one, chat) == 1
    _, queue = await one.rest(cast["mod"], "GET", f"/api/moderation/cases?chat_id={chat}")
    by_source = {case["source"]: f"/api/moderation/cases/{case['id']}" for case in queue["items"]}
    await one.rest(cast["mod"], "POST", f"{by_source['report']}/resolve", {"action": "hide"})
    assert await flagged(one, chat) == 2
    await one.rest(cast["mod"], "POST", f"{by_source['filter']}/dismiss", {})
    assert await flagged(one, chat) == 1
