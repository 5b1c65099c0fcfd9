"""Pushes of a browser: asked for, shown, and at an end with whoever asked for them."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from playwright.async_api import expect

from tests.ops.serving import Serving
from tests.web.conftest import PASSWORD, Arrive

#: What a browser's push service would answer; a headless one reaches none. The point is one of P-256. As in a
#: browser, the subscription outlives the page.
SUBSCRIBED = """
(() => {
  if (!globalThis.PushManager) return;
  const there = () => (localStorage["test.subscribed"] ? {
    toJSON: () => ({ endpoint: "https://fcm.googleapis.com/fcm/send/test", keys: {
      p256dh: "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
      auth: "AAAAAAAAAAAAAAAAAAAAAA" } }),
    unsubscribe: async () => { delete localStorage["test.subscribed"]; return true; },
  } : null);
  PushManager.prototype.subscribe = async (options) => {
    window.subscribedWith = options;
    localStorage["test.subscribed"] = "yes";
    return there();
  };
  PushManager.prototype.getSubscription = async () => there();
})();
"""
#: What is left of anybody's pushes in this browser: a subscription, whose it is, a worker that shows them.
LEFT = """async () => [localStorage["test.subscribed"] ?? null, localStorage["chatd.push"] ?? null,
  (await navigator.serviceWorker.getRegistrations()).length]"""
NOTHING = [None, None, 0]
SHOWN = """async () => {
  const shown = await (await navigator.serviceWorker.ready).getNotifications();
  return shown.map(({ title, body, tag }) => [title, body, tag]);
}"""


async def subscriber(person: Arrive) -> Any:
    """Somebody at the page of the settings where they have turned pushes on."""
    ann = await person("Ann Lee", permissions=["notifications"])
    await ann.page.add_init_script(SUBSCRIBED)
    await ann.page.reload()
    await ann.settings("Notifications")
    place = ann.page.get_by_role("group", name="In this browser")
    await place.get_by_role("button", name="Turn on").click()
    await expect(place).to_contain_text("You are told here when this page is closed.")
    return ann


async def nothing_left(page: Any) -> None:
    """Wait until nothing is."""
    async with asyncio.timeout(60):
        while await page.evaluate(LEFT) != NOTHING:
            await page.evaluate("new Promise(requestAnimationFrame)")


async def pushed(ann: Any) -> list[str]:
    """What is shown of what the push service would hand to the worker: title, body, tag."""
    devtools = await ann.context.new_cdp_session(ann.page)
    registered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def updated(event: dict[str, Any]) -> None:
        for registration in event["registrations"]:
            if not registered.done():
                registered.set_result(registration["registrationId"])

    devtools.on("ServiceWorker.workerRegistrationUpdated", updated)
    await devtools.send("ServiceWorker.enable")
    push = {"title": "Bob <b>Ray</b>", "body": "Hello", "tag": "cht_1", "data": {"chat_id": "cht_1"}}
    async with asyncio.timeout(60):
        handed = {"origin": ann.url, "registrationId": await registered, "data": json.dumps(push)}
        shown: list[list[str]] = []
        while not shown:
            # Chromium's tools do not say that they could not hand it over. By its tag it is shown once.
            await devtools.send("ServiceWorker.deliverPushMessage", handed)
            for _ in range(200):
                await ann.page.evaluate("new Promise(requestAnimationFrame)")
                if shown := await ann.page.evaluate(SHOWN):
                    break
    (one,) = shown
    return one


async def log_out(ann: Any) -> None:
    await ann.page.get_by_role("button", name="Ann Lee: your account").click()
    await ann.page.get_by_role("menuitem", name="Log out").click()
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_a_browser_is_pushed_to_where_one_asks_for_it(person: Arrive) -> None:
    ann = await person("Ann Lee", permissions=["notifications"])
    await ann.page.add_init_script(SUBSCRIBED)
    await ann.page.reload()
    await ann.settings("Notifications")
    place = ann.page.get_by_role("group", name="In this browser")
    assert await ann.page.evaluate("navigator.serviceWorker.getRegistration()") is None
    await place.get_by_role("button", name="Turn on").click()
    await expect(place).to_contain_text("You are told here when this page is closed.")
    (device,) = (await ann.rest("GET", "/devices"))["devices"]
    assert device["provider"] == "webpush"
    key = (await ann.rest("GET", "/devices/web-push-key"))["public_key"]
    given = "btoa(String.fromCharCode(...window.subscribedWith.applicationServerKey))"
    assert (await ann.page.evaluate(given)).rstrip("=") == key.replace("-", "+").replace("_", "/")

    assert await pushed(ann) == ["Bob <b>Ray</b>", "Hello", "cht_1"]

    await place.get_by_role("button", name="Turn off").click()
    await expect(place).to_contain_text("You are not told here while this page is closed.")
    assert (await ann.rest("GET", "/devices"))["devices"] == []


async def test_the_next_person_at_a_browser_takes_no_push_over(person: Arrive) -> None:
    ann = await subscriber(person)
    page = ann.page
    place = page.get_by_role("group", name="In this browser")
    await page.reload()  # it is still so for the same person
    await expect(place.get_by_role("button", name="Turn off")).to_be_visible()

    # Somebody else was here last, and left no trace of leaving; or an older page, which did not say who.
    for left in ("usr_somebody dev_else", "dev_else"):
        if await page.evaluate(LEFT) == NOTHING:
            await place.get_by_role("button", name="Turn on").click()
            await expect(place.get_by_role("button", name="Turn off")).to_be_visible()
        await page.evaluate("(left) => { localStorage['chatd.push'] = left; }", left)
        await page.reload()
        await expect(place).to_contain_text("You are not told here while this page is closed.")
        await nothing_left(page)


@pytest.mark.parametrize("reached", [True, False])
async def test_who_logs_out_is_pushed_to_no_more_also_where_the_server_cannot_be_told(
    person: Arrive, reached: bool
) -> None:
    ann = await subscriber(person)
    (device,) = (await ann.rest("GET", "/devices"))["devices"]
    await ann.page.evaluate(
        "navigator.serviceWorker.ready.then((r) => r.showNotification('Bob', {body: 'Hi'}))"
    )
    if not reached:
        for path in ("**/api/devices/*", "**/api/auth/logout"):
            await ann.page.route(path, lambda route: route.abort())
    taken: list[str] = []
    ann.page.on("request", lambda request: taken.append(f"{request.method} {request.url}"))
    shown = await ann.page.evaluate_handle("navigator.serviceWorker.ready")
    await log_out(ann)
    assert await shown.evaluate("async (worker) => (await worker.getNotifications()).length") == 0
    assert await ann.page.evaluate(LEFT) == NOTHING
    assert f"DELETE {ann.url}/api/devices/{device['id']}" in taken
    await expect(ann.page.get_by_text("the server could not be told")).to_have_count(0 if reached else 1)


async def test_a_session_that_was_ended_elsewhere_takes_the_pushes_with_it(
    person: Arrive, serving: Serving
) -> None:
    ann = await subscriber(person)

    def end() -> None:
        account = {"email": ann.email, "password": PASSWORD}
        _, answer = serving.ask("POST", "/api/auth/login", account)
        token = orjson.loads(answer)["access_token"]
        assert serving.ask("DELETE", "/api/auth/sessions", Authorization=f"Bearer {token}")[0] == 200
        _, answer = serving.ask("GET", "/api/devices", Authorization=f"Bearer {token}")
        assert orjson.loads(answer)["devices"] == []

    await asyncio.to_thread(end)
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await nothing_left(ann.page)

    # The same while no page is open.
    await ann.log_in(ann.page)
    await ann.settings("Notifications")
    await ann.page.get_by_role("button", name="Turn on").click()
    await expect(ann.page.get_by_role("button", name="Turn off")).to_be_visible()
    await ann.page.goto("about:blank")
    await asyncio.to_thread(end)
    await ann.page.goto(ann.url)
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await nothing_left(ann.page)


async def test_who_logs_out_is_out_also_where_the_browser_forbids_workers(person: Arrive) -> None:
    ann = await person("Ann Lee")
    refused = "() => Promise.reject(new DOMException('No', 'SecurityError'))"
    await ann.page.add_init_script(f"navigator.serviceWorker.getRegistration = {refused};")
    await ann.page.reload()
    await expect(ann.page.get_by_role("navigation", name="Conversations")).to_be_visible()
    await log_out(ann)
    await expect(ann.page.locator(".toast.bad")).to_have_count(0)
    assert await ann.page.evaluate("localStorage['chatd.session'] ?? null") is None


async def test_one_that_was_left_behind_ends_when_the_page_is_opened(person: Arrive) -> None:
    ann = await subscriber(person)
    # A browser that died between the end of the session and the end of the subscription.
    await ann.page.evaluate("localStorage.removeItem('chatd.session')")
    await ann.page.reload()
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await nothing_left(ann.page)
