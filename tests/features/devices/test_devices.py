"""Whose devices they are, and what may be one."""

import pytest

from chatd.features.devices import service
from chatd.features.devices.contract import MAX_DEVICES
from tests.features.devices.services import Browser, b64, point


async def test_a_device_is_registered_listed_and_taken_away(town):
    [ann] = await town.world.users(1)
    device, _ = await town.device(ann)
    status, listed = await town.world.rest(ann, "GET", "/devices")
    assert (status, [d["id"] for d in listed["devices"]]) == (200, [device])
    assert "token" not in listed["devices"][0]
    assert (await town.world.rest(ann, "DELETE", f"/devices/{device}"))[0] == 204
    assert (await town.world.rest(ann, "DELETE", f"/devices/{device}"))[0] == 404


async def test_the_same_token_again_is_the_same_device(town):
    [ann] = await town.world.users(1)
    device, token = await town.device(ann)
    status, again = await town.world.rest(ann, "POST", "/devices", {"provider": "fcm", "token": token})
    assert (status, again["id"]) == (200, device)


async def test_a_phone_that_changes_hands_rings_for_its_new_owner_only(town):
    ann, bob, cee = await town.world.users(3)
    chat = await town.world.group(cee, ann)
    _, token = await town.device(ann)
    await town.say(cee, chat, "for ann")
    await town.world.rest(bob, "POST", "/devices", {"provider": "fcm", "token": token})
    await town.round()
    assert town.push.got == []
    assert (await town.world.rest(ann, "GET", "/devices"))[1]["devices"] == []


async def test_nobody_takes_away_the_device_of_another(town):
    ann, bob = await town.world.users(2)
    device, _ = await town.device(ann)
    assert (await town.world.rest(bob, "DELETE", f"/devices/{device}"))[0] == 404
    assert len((await town.world.rest(ann, "GET", "/devices"))[1]["devices"]) == 1


async def test_nobody_registers_without_an_account(town):
    status, _ = await town.world.rest(None, "POST", "/devices", {"provider": "fcm", "token": "t" * 40})
    assert status == 401


async def test_of_too_many_devices_the_oldest_go(town):
    [ann] = await town.world.users(1)
    ids = [(await town.device(ann))[0] for _ in range(MAX_DEVICES + 2)]
    _, listed = await town.world.rest(ann, "GET", "/devices")
    assert [d["id"] for d in listed["devices"]] == ids[:1:-1]


def endpoint(town, **changed):
    browser = Browser(f"{town.push.url}/push/x")
    return {"provider": "webpush", "subscription": browser.subscription | changed}


@pytest.mark.parametrize(
    "endpoint_url",
    [
        "https://example.com/push",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/push",
        "http://user@127.0.0.1/push",
        "https://fcm.googleapis.com.evil.example/x",
        "http://[::1",
    ],
)
async def test_a_browser_cannot_make_this_server_call_where_it_likes(town, endpoint_url):
    [ann] = await town.world.users(1)
    status, problem = await town.world.rest(ann, "POST", "/devices", endpoint(town, endpoint=endpoint_url))
    assert (status, problem["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    "keys",
    [
        {"p256dh": b64(b"\x04" + b"\0" * 64), "auth": b64(b"a" * 16)},
        {"p256dh": b64(b"short" * 4), "auth": b64(b"a" * 16)},
        {"p256dh": "AAAA" * 21 + "A", "auth": b64(b"a" * 16)},
    ],
)
async def test_keys_that_nothing_can_be_encrypted_for_are_refused(town, keys):
    [ann] = await town.world.users(1)
    status, problem = await town.world.rest(ann, "POST", "/devices", endpoint(town, keys=keys))
    assert (status, problem["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "fcm"},
        {"provider": "apns", "token": "../../etc/passwd/./././."},
        {"provider": "apns", "token": "not-hexadecimal-at-all"},
        {"provider": "webpush", "token": "t" * 40},
        {"provider": "pigeon", "token": "t" * 40},
        {"provider": "fcm", "token": "short"},
    ],
)
async def test_what_is_no_device_is_refused(town, body):
    [ann] = await town.world.users(1)
    status, problem = await town.world.rest(ann, "POST", "/devices", body)
    assert (status, problem["code"]) == (422, "validation_failed")


async def test_the_key_that_browsers_subscribe_with(town):
    [ann] = await town.world.users(1)
    status, answer = await town.world.rest(ann, "GET", "/devices/web-push-key")
    assert (status, answer["public_key"]) == (200, b64(point(town.push.vapid_key.public_key())))


async def test_half_of_the_quiet_hours_is_refused_and_null_takes_them_away(town):
    [ann] = await town.world.users(1)
    path = "/notifications/settings"
    for half in ({"quiet_from": "22:00:00"}, {"quiet_from": "22:00:00", "quiet_until": None}):
        assert (await town.world.rest(ann, "PATCH", path, half))[0] == 422
    whole = {"quiet_from": "22:00:00", "quiet_until": "07:30:00"}
    status, answer = await town.world.rest(ann, "PATCH", path, whole)
    assert (status, answer["quiet_from"], answer["quiet_until"]) == (200, "22:00:00", "07:30:00")
    _, answer = await town.world.rest(ann, "PATCH", path, {"push": False})
    assert (answer["push"], answer["quiet_from"]) == (False, "22:00:00")
    _, answer = await town.world.rest(ann, "PATCH", path, {"quiet_from": None, "quiet_until": None})
    assert answer == {
        "push": False,
        "preview": True,
        "email": "off",
        "quiet_from": None,
        "quiet_until": None,
        "off_types": [],
    }


async def test_a_device_goes_with_the_session_that_it_was_registered_in(town):
    ann, bob, cid = await town.world.users(3)
    chat = await town.world.group(ann, bob, cid)
    await town.device(bob)
    browser = await town.browser(cid)
    assert (await town.world.rest(bob, "POST", "/api/auth/logout"))[0] == 204
    # Whoever gets in again is not shown a phone that nobody is logged in at.
    assert (await service.devices(town.ctx(bob))).devices == []
    await town.say(ann, chat, "Hello")
    await town.round()
    assert len(town.push.to(browser.endpoint)) == len(town.push.got) == 1
    left = await town.world.nodes[0].db.rows(str, "SELECT provider FROM push_devices")
    assert (left, await town.waiting()) == (["webpush"], 0)
