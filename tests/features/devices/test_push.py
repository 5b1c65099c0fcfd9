"""A push crosses a local wire, by each kind of service, and says the right thing."""


async def test_who_has_no_socket_gets_what_was_said_by_fcm(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    _, token = await town.device(bob)
    said = await town.say(ann, chat, "are you\n there?")
    await town.round()
    [got] = town.push.got
    assert got.token == token
    assert got.body["notification"] == {"title": "Seed 1", "body": "are you there?"}
    assert got.body["data"] == {
        "type": "message.new",
        "chat_id": chat,
        "message_id": said["message_id"],
        "seq": str(said["seq"]),
    }
    android = got.body["android"]
    assert android["priority"] == "HIGH"
    assert android["notification"] == {"tag": android["collapse_key"], "notification_count": 1}
    assert await town.waiting() == 0


async def test_by_apns_over_http_2(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob, provider="apns")
    await town.say(ann, chat, "hello")
    await town.say(ann, chat, "who is there?")
    await town.round()
    [got] = town.push.to(token)
    assert got.headers["apns-topic"] == "app.tribe"
    assert got.headers["apns-push-type"] == "alert"
    assert len(got.headers["apns-collapse-id"].encode()) <= 64
    assert got.body["aps"]["alert"] == {"title": "Group", "body": "Seed 1: who is there?"}
    assert got.body["aps"]["badge"] == 2
    assert got.body["chat_id"] == chat


async def test_by_web_push_and_only_that_browser_can_read_it(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    browser = await town.browser(bob)
    await town.say(ann, chat, "secret")
    await town.round()
    [got] = town.push.to(browser.endpoint)
    assert got.headers["Content-Encoding"] == "aes128gcm"
    assert got.headers["Urgency"] == "high"
    assert len(got.headers["Topic"]) <= 32
    assert b"secret" not in got.body
    assert browser.read(got.body)["body"] == "secret"
    assert browser.read(got.body)["data"]["chat_id"] == chat


async def test_the_sender_s_own_devices_stay_silent(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(ann)
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.push.got == []


async def test_of_each_chat_one_push_and_the_badge_counts_over_all(town):
    ann, bob, chat, token = await town.pair()
    other = await town.direct(ann, bob)
    for text in ("one", "two"):
        await town.say(ann, chat, text)
    await town.say(ann, other, "three")
    await town.round()
    got = town.push.to(token)
    assert sorted(town.bodies(token)) == ["Seed 1: two", "three"]
    assert len({each.body["android"]["collapse_key"] for each in got}) == 2
    counts = {each.body["android"]["notification"]["notification_count"] for each in got}
    assert counts == {3}


async def test_a_group_s_talk_is_less_urgent_than_a_call(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    browser = await town.browser(bob)
    for urgency, more in (("normal", {}), ("high", {"mentions": [bob]})):
        await town.say(ann, chat, "hello", **more)
        await town.round()
        assert town.push.to(browser.endpoint)[-1].headers["Urgency"] == urgency
