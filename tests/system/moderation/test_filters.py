"""Filters: what they do to messages, and who may change them."""

from typing import Any

from tests.system.calls import post
from tests.system.moderation.scene import with_filter, written
from tests.system.world import World


async def test_filters_flag_hide_block_and_silence(one: World, cast: dict[str, Any]) -> None:
    chat, ann, admin = cast["chat"], cast["ann"], cast["admin"]
    phone = await one.phone(cast["bob"])
    for action, word in (("flag", "drat"), ("hide", "darn"), ("block", "heck"), ("silence", "blast")):
        config = {"kind": "words", "words": [word], "silence_s": 600}
        await with_filter(one, admin, name=action, action=action, config=config)

    await post(one, ann, chat, "oh dr4t")
    seen = (await phone.event("message.new", seq=2))["message"]
    assert (seen["moderation_status"], seen["content"]["text"]) == ("flagged", "oh dr4t")
    await post(one, ann, chat, "oh d a r n")
    seen = (await phone.event("message.new", seq=3))["message"]
    assert (seen["moderation_status"], seen["content"]) == ("hidden", {"type": "tombstone"})
    assert next(m["content"] for m in await written(one, ann, chat)) == {"type": "tombstone"}
    assert (await post(one, ann, chat, "oh hеck"))[1]["code"] == "blocked"  # noqa: RUF001
    first = await post(one, ann, chat, "fine")
    edit = {"content": {"type": "text", "text": "heck"}}
    path = f"/api/chats/{chat}/messages/{first[1]['message_id']}"
    assert (await one.rest(ann, "PATCH", path, edit))[1]["code"] == "blocked"
    edit = {"content": {"type": "text", "text": "darn"}}
    status, edited = await one.rest(ann, "PATCH", path, edit)
    assert (status, edited["content"]) == (200, {"type": "tombstone"})
    assert (await post(one, ann, chat, "blast"))[1]["code"] == "muted"
    assert (await post(one, ann, chat, "sorry"))[1]["code"] == "muted"
    assert (await post(one, ann, chat, "oh dr4t"))[0] == 200, "a repeat gets its first ack for ever"

    _, queue = await one.rest(cast["staff"], "GET", f"/api/moderation/cases?chat_id={chat}")
    assert [(c["source"], c["reason"]) for c in queue["items"]] == [
        ("filter", "flag"),
        ("filter", "hide"),
        ("filter", "hide"),
    ]
    assert queue["items"][1]["snapshot"]["text"] == "oh d a r n"
    case = queue["items"][1]["id"]
    assert (await one.rest(cast["mod"], "POST", f"/api/moderation/cases/{case}/dismiss", {}))[0] == 200
    restored = await phone.event("message.update", seq=7)
    assert restored["message"]["content"]["text"] == "oh d a r n", "a filter's mistake is undone"
    _, log = await one.rest(admin, "GET", f"/api/moderation/audit?target_user_id={ann}")
    assert [(e["actor_id"], e["action"], e["detail"]["filter"]) for e in log["items"]] == [
        (None, "member.muted", "silence")
    ]


async def test_only_admins_change_filters(one: World, cast: dict[str, Any]) -> None:
    body = {"name": "mine", "action": "flag", "config": {"kind": "flood", "messages": 3, "within_s": 10}}
    path = "/api/moderation/filters"
    for who in ("owner", "stranger", "staff"):
        assert (await one.rest(cast[who], "POST", path, body))[0] == 403
    admin = cast["admin"]
    status, made = await one.rest(admin, "POST", path, body)
    assert status == 201
    assert (await one.rest(admin, "POST", path, body))[0] == 409, "the name is taken"
    changed = {**body, "enabled": False, "config": {"kind": "words", "words": ["x"]}}
    status, now = await one.rest(admin, "PUT", f"{path}/{made['id']}", changed)
    assert (status, now["enabled"], now["config"]["words"]) == (200, False, ["x"])
    assert (await one.rest(admin, "POST", path, {**body, "config": {"kind": "magic"}}))[0] == 422
    assert (await one.rest(cast["staff"], "DELETE", f"{path}/{made['id']}"))[0] == 403
    assert (await one.rest(admin, "DELETE", f"{path}/{made['id']}"))[0] == 204
    assert (await one.rest(admin, "DELETE", f"{path}/{made['id']}"))[0] == 404
    assert (await one.rest(admin, "PUT", f"{path}/{made['id']}", body))[0] == 404
    _, log = await one.rest(admin, "GET", f"/api/moderation/audit?actor_id={admin}")
    assert [e["action"] for e in log["items"]] == ["filter.removed", "filter.changed", "filter.created"]
    _, page = await one.rest(admin, "GET", f"/api/moderation/audit?actor_id={admin}&limit=2")
    _, rest = await one.rest(
        admin, "GET", f"/api/moderation/audit?actor_id={admin}&limit=2&cursor={page['next_cursor']}"
    )
    assert [e["action"] for e in rest["items"]] == ["filter.created"]
