"""Two people at two browsers talk, through a worker's death and with the network off and on."""

import asyncio
import os
import signal
from typing import Any

from playwright.async_api import expect

from tests.ops.serving import Serving
from tests.web.conftest import Arrive
from tests.web.wire import Wire


async def test_two_people_talk(person: Arrive) -> None:
    ann, bob = await person("Ann Lee", typing=True), await person("Bob Ray")
    await bob.meet(ann)
    await bob.say("Hello Ann")
    link = ann.page.get_by_role("link", name="Bob Ray")
    await expect(link.locator(".badge")).to_contain_text("1")
    await expect(bob.message("Hello Ann").get_by_role("img", name="Delivered")).to_be_visible()
    await ann.open("Bob Ray")
    await expect(bob.message("Hello Ann").get_by_role("img", name="Read")).to_be_visible()
    await expect(link.locator(".badge")).to_have_count(0)

    await ann.page.get_by_role("textbox", name="Message").press_sequentially("Hel")
    await expect(bob.page.locator(".head .sub")).to_have_text("typing…")
    await ann.say("Hello Bob <b>& co</b>")
    await bob.sees("Hello Ann", "Hello Bob <b>& co</b>")
    await expect(bob.page.locator(".head .sub")).to_have_text("Online")


async def test_replies_reactions_edits_and_deletions_reach_the_other(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.open("Bob Ray")
    await bob.say("Shall we meet?")
    await ann.act("Shall we meet?", "Reply")
    await ann.say("Yes, at nyne")
    await expect(bob.message("Yes, at nyne").locator(".quote")).to_contain_text("Shall we meet?")

    await bob.act("Yes, at nyne", "React with ❤️")
    mine = ann.message("Yes, at nyne").get_by_role("button", name="❤️, 1: Bob Ray")
    await expect(mine).to_have_attribute("aria-pressed", "false")
    await mine.click()
    await expect(bob.message("Yes, at nyne").get_by_role("button", name="❤️, 2")).to_be_visible()

    await ann.act("Yes, at nyne", "Edit")
    await ann.say("Yes, at nine")
    await expect(bob.message("Yes, at nine")).to_contain_text("edited")

    await bob.act("Shall we meet?", "Delete")
    await bob.page.get_by_role("button", name="Delete").click()
    await expect(ann.page.locator("li.message").first).to_contain_text("Message deleted")
    assert "Shall we meet?" not in await ann.page.locator(".log").inner_text()


async def test_nothing_is_lost_or_doubled_when_workers_are_killed(person: Arrive, serving: Serving) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.open("Bob Ray")
    said = []
    for number, pid in enumerate(sorted(serving.workers())):
        for who in (ann, bob):
            said.append(f"{number} before, {who.name}")
            await who.say(said[-1])
            await ann.sees(*said)
        os.kill(pid, signal.SIGKILL)
        for who in (ann, bob):
            said.append(f"{number} after, {who.name}")
            await who.say(said[-1])
            await bob.sees(*said)
    await ann.sees(*said)
    await bob.sees(*said)
    await ann.page.reload()
    await ann.sees(*said)


async def test_the_network_goes_and_comes_back(person: Arrive, wire: Wire) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.open("Bob Ray")
    await bob.say("before")
    await ann.sees("before")

    await wire.pull()
    await ann.context.set_offline(True)
    await expect(ann.page.locator(".banner")).to_contain_text("You are offline")
    await expect(bob.page.locator(".banner")).to_contain_text("No connection")
    await ann.say("from Ann, offline")
    await bob.say("from Bob, offline")
    waiting = ann.message("from Ann, offline").get_by_role("img", name="Waiting to be sent")
    await expect(waiting).to_be_visible()

    await wire.plug_in()
    await expect(bob.message("from Bob, offline").get_by_role("img", name="Sent")).to_be_visible()
    await ann.context.set_offline(False)
    for who in (ann, bob):
        await expect(who.page.locator("li.message .tick.queued, li.message .tick.sending")).to_have_count(0)
        await expect(who.page.locator("li.message")).to_have_count(3)
    assert sorted(await ann.words()) == ["before", "from Ann, offline", "from Bob, offline"]
    assert await bob.words() == await ann.words()
    await expect(ann.page.locator(".banner")).to_be_hidden()


async def test_what_was_not_sent_outlives_the_page(person: Arrive, wire: Wire) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.open("Bob Ray")
    await expect(bob.page.locator(".head .sub")).to_have_text("Online")
    await wire.pull()
    await ann.say("kept")
    await expect(ann.message("kept").get_by_role("img", name="Waiting to be sent")).to_be_visible()
    await ann.page.goto("about:blank")
    await wire.plug_in()
    await asyncio.gather(ann.page.goto(ann.url), bob.sees("kept"))
    await ann.open("Bob Ray")
    await ann.sees("kept")


async def test_logging_out_in_one_tab_logs_out_the_other(person: Arrive) -> None:
    ann = await person("Ann Lee")
    other = await ann.context.new_page()
    await other.goto(ann.url)
    await expect(other.get_by_role("navigation", name="Conversations")).to_be_visible()
    await other.get_by_role("button", name="Ann Lee: your account").click()
    await other.get_by_role("menuitem", name="Log out").click()
    for page in (other, ann.page):
        await expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()


async def test_logging_in_again_and_again_leaves_nothing_behind(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.page.add_init_script("""
      window.listeners = 0;
      const add = visualViewport.addEventListener;
      visualViewport.addEventListener = function (...given) {
        window.listeners++;
        return add.apply(this, given);
      };
    """)
    await ann.page.reload()
    await ann.page.get_by_role("button", name="Ann Lee: your account").click()
    await ann.page.get_by_role("menuitem", name="Log out").click()
    await expect(ann.page.get_by_text("You have been logged out.")).to_be_visible()
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert await ann.page.evaluate("window.listeners") == 1


async def test_a_conversation_that_cannot_be_opened_is_asked_for_now_and_then(person: Arrive) -> None:
    ann = await person("Ann Lee")
    page, place = ann.page, "**/api/chats/cht_*"
    asked: list[str] = []

    async def fail(route: Any) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=500, body="{}")

    await page.route(place, fail)
    # Time stands still here, and goes on as the test says.
    await page.clock.install()
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
    chat = "#/chat/cht_01J00000000000000000000000"
    async with page.expect_response(place):
        await page.evaluate("(chat) => { location.hash = chat; }", chat)
    for _ in range(10):
        await ann.rest("GET", "/users/me")
    assert len(asked) == 1
    async with page.expect_response(place):
        await page.clock.run_for(3000)
    await page.unroute(place)
    await page.clock.resume()
    await expect(page.get_by_text("This conversation is not there")).to_be_visible()
    assert len(asked) == 2
