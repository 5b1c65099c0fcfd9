"""What people expect of a conversation: threads, pins, forwards, mentions, drafts, later, quiet."""

import asyncio
from typing import Any

from playwright.async_api import Error, expect

from tests.web.conftest import Arrive, conversation
from tests.web.wire import Wire


async def soon(person: Any, scheduled_id: str) -> None:
    """Let it be sent as soon as it may be: when a busy machine has said when, that must be still to come."""
    for seconds in (1, 5, 20, 60):
        at = await person.page.evaluate("(s) => new Date(Date.now() + 1000 * s).toISOString()", seconds)
        try:
            return await person.rest("PATCH", f"/scheduled/{scheduled_id}", {"send_at": at})
        except Error as refused:
            if "within the next year" not in refused.message:
                raise
    raise AssertionError("the machine is too slow to name a time that is still to come")


async def group(ann: Any, *others: Any) -> None:
    """Ann makes a group that all of them open."""
    ids = [await other.id() for other in others]
    chat = await ann.rest("POST", "/chats", {"type": "group", "title": "Lake trip", "member_ids": ids})
    for who in (ann, *others):
        await who.page.goto(f"{who.url}/#/chat/{chat['id']}")
        await expect(who.page.get_by_role("heading", name="Lake trip")).to_be_visible()


async def test_a_thread_is_read_and_answered_by_itself(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.say("Who drives?")
    await ann.act("Who drives?", "Reply")
    await ann.say("I can")
    await bob.message("Who drives?").get_by_role("button", name="1 reply").click()
    thread = bob.page.get_by_role("dialog", name="Thread")
    await expect(thread.locator(".words")).to_have_text(["Who drives?", "I can"])
    box = thread.get_by_role("textbox", name="Reply to the thread")
    await box.fill("Thanks")
    await box.press("Enter")
    await expect(thread.locator(".words")).to_have_text(["Who drives?", "I can", "Thanks"])
    await expect(ann.message("Who drives?").get_by_role("button", name="2 replies")).to_be_visible()
    await ann.sees("Who drives?", "I can", "Thanks")
    await bob.page.keyboard.press("Escape")
    await expect(thread).to_have_count(0)
    await bob.act("Thanks", "Delete")
    await bob.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(ann.message("Who drives?").get_by_role("button", name="1 reply")).to_be_visible()


async def test_what_is_pinned_stands_above_until_it_is_taken_down(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.say("The code is 4711")
    await bob.act("The code is 4711", "Pin")
    for who in (ann, bob):
        await expect(who.page.get_by_role("group", name="Pinned")).to_contain_text("The code is 4711")
    await ann.page.get_by_role("group", name="Pinned").get_by_text("The code is 4711").click()
    await expect(ann.message("The code is 4711")).to_be_focused()
    await ann.page.get_by_role("button", name="All pinned messages").click()
    await ann.page.get_by_role("button", name="Unpin").click()
    for who in (ann, bob):
        await expect(who.page.get_by_role("group", name="Pinned")).to_be_hidden()


async def test_a_message_is_forwarded_and_says_so(person: Arrive) -> None:
    ann, bob = await conversation(person)
    cleo = await person("Cleo Fox")
    await cleo.meet(bob)
    await ann.say("Doors at <eight>")
    await bob.open("Ann Lee")
    await bob.act("Doors at <eight>", "Forward")
    await bob.page.get_by_role("dialog", name="Forward to").get_by_role("button", name="Cleo Fox").click()
    await cleo.sees("Doors at <eight>")
    await expect(cleo.message("Doors at <eight>")).to_contain_text("Forwarded")


async def test_a_mention_is_offered_while_it_is_typed_and_reaches_who_is_mentioned(person: Arrive) -> None:
    ann, bob, cleo = await person("Ann Lee"), await person("Bob Ray"), await person("Bobby Fox")
    await group(ann, bob, cleo)
    box = ann.page.get_by_role("textbox", name="Message")
    await box.press_sequentially("Hey @bo")
    offers = ann.page.get_by_role("listbox", name="People")
    await expect(offers.get_by_role("option").locator(".name")).to_have_text(["Bob Ray", "Bobby Fox"])
    await box.press("ArrowDown")
    await expect(offers.get_by_role("option", selected=True)).to_contain_text("Bobby Fox")
    await box.press("ArrowUp")
    await box.press("Enter")
    await expect(box).to_have_value("Hey @Bob Ray ")
    await box.press_sequentially("bring bread")
    await box.press("Enter")
    await expect(bob.message("bring bread").locator(".mention.me")).to_have_text("@Bob Ray")
    await expect(cleo.message("bring bread").locator(".mention")).to_have_text("@Bob Ray")
    await expect(cleo.page.locator(".mention.me")).to_have_count(0)
    await bob.page.get_by_role("link", name="Notifications").click()
    news = bob.page.get_by_role("region", name="Notifications")
    await news.get_by_role("link", name="Hey @Bob Ray bring bread").click()
    await expect(bob.message("bring bread")).to_be_focused()


async def test_a_draft_is_there_on_the_other_device(person: Arrive) -> None:
    ann, bob = await conversation(person)
    phone = await ann.elsewhere()
    await ann.page.get_by_role("textbox", name="Message").fill("Not yet fini")
    await expect(phone.get_by_role("link", name="Bob Ray")).to_contain_text("Draft: Not yet fini")
    await phone.get_by_role("link", name="Bob Ray").click()
    await expect(phone.get_by_role("textbox", name="Message")).to_have_value("Not yet fini")
    await phone.get_by_role("textbox", name="Message").fill("Finished")
    await expect(ann.page.get_by_role("textbox", name="Message")).to_have_value("Finished")
    await phone.get_by_role("textbox", name="Message").press("Enter")
    await bob.sees("Finished")
    await expect(ann.page.get_by_role("textbox", name="Message")).to_have_value("")
    await ann.page.reload()
    await ann.sees("Finished")
    await expect(ann.page.get_by_role("textbox", name="Message")).to_have_value("")


async def test_what_is_written_without_a_connection_stays_when_it_is_back(person: Arrive, wire: Wire) -> None:
    ann, bob = await conversation(person)
    box = ann.page.get_by_role("textbox", name="Message")
    await expect(bob.page.locator(".head .sub")).to_have_text("Online")
    await wire.pull()
    await expect(ann.page.locator(".banner")).to_be_visible()
    async with ann.page.expect_console_message(lambda said: "a draft stays on this device" in said.text):
        await box.fill("Half a thought")
    async with ann.page.expect_response("**/api/drafts"):
        await wire.plug_in()
        await ann.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(ann.page.locator(".banner")).to_be_hidden()
    async with asyncio.timeout(60):
        while not (drafts := (await ann.rest("GET", "/drafts"))["drafts"]):
            await ann.rest("GET", "/users/me")
    assert [draft["text"] for draft in drafts] == ["Half a thought"]
    await expect(box).to_have_value("Half a thought")


async def test_a_message_waits_for_its_time_and_can_be_taken_back(person: Arrive) -> None:
    ann, bob = await conversation(person)
    box = ann.page.get_by_role("textbox", name="Message")
    for text, choice in (("Good morning", "Tomorrow morning"), ("Happy Monday", "Monday morning")):
        await box.fill(text)
        await ann.page.get_by_role("button", name="Send later").click()
        await ann.page.get_by_role("dialog", name="Send later").get_by_role("button", name=choice).click()
        await expect(box).to_have_value("")
    await ann.page.get_by_role("button", name="2 messages scheduled").click()
    waiting = ann.page.get_by_role("dialog", name="Scheduled messages")
    await waiting.get_by_role("listitem").filter(has_text="Happy Monday").get_by_role("button").click()
    await (
        ann.page.get_by_role("dialog", name="Take this message back?")
        .get_by_role("button", name="Take it back")
        .click()
    )
    await expect(waiting.get_by_role("listitem")).to_have_count(1)
    await ann.page.keyboard.press("Escape")
    await expect(ann.page.get_by_role("button", name="1 message scheduled")).to_be_visible()

    # Its time has come sooner than it thought.
    (item,) = (await ann.rest("GET", "/scheduled"))["items"]
    await soon(ann, item["id"])
    await bob.sees("Good morning")
    await expect(ann.page.locator(".waiting")).to_be_hidden()


async def test_a_conversation_is_made_quiet_put_on_top_and_put_away(person: Arrive) -> None:
    ann, bob = await conversation(person)
    cleo = await person("Cleo Fox")
    await cleo.meet(ann)
    await bob.say("First")
    await cleo.say("Second")
    links = ann.page.get_by_role("navigation", name="Conversations").locator(".chats .name")
    await expect(links).to_have_text(["Cleo Fox", "Bob Ray"])

    async def act(title: str, what: str) -> None:
        await ann.page.get_by_role("link", name=title).click(button="right")
        await ann.page.get_by_role("menuitem", name=what).click()

    await act("Bob Ray", "Pin to the top")
    await expect(links).to_have_text(["Bob Ray", "Cleo Fox"])
    await act("Cleo Fox", "Mute…")
    await ann.page.get_by_role("dialog").get_by_role("button", name="For 8 hours").click()
    await expect(
        ann.page.get_by_role("link", name="Cleo Fox").get_by_role("img", name="Muted")
    ).to_be_visible()
    await act("Cleo Fox", "Archive")
    await expect(links).to_have_text(["Bob Ray"])
    await ann.page.reload()
    await ann.page.get_by_role("button", name="Archived (1)").click()
    await expect(links).to_have_text(["Cleo Fox"])
    await act("Cleo Fox", "Take out of the archive")
    await expect(links).to_have_text(["Bob Ray", "Cleo Fox"])
    settings = (await ann.rest("GET", "/chats"))["items"]
    assert sorted(bool(chat.get("settings", {}).get("pinned")) for chat in settings) == [False, True]


async def test_a_message_that_is_scheduled_again_since_no_answer_came_is_one(person: Arrive) -> None:
    ann, _ = await conversation(person)
    page, box = ann.page, ann.page.get_by_role("textbox", name="Message")
    lost: list[int] = []

    async def lose(route: Any) -> None:
        if len(lost) == 2:
            await route.continue_()
        else:
            lost.append((await route.fetch()).status)  # the server has done it, and nobody hears of it
            await route.abort()

    await page.route("**/api/chats/*/scheduled", lose)
    await box.fill("Good morning")
    await page.get_by_role("button", name="Send later").click()
    dialog = page.get_by_role("dialog", name="Send later")
    await dialog.get_by_role("button", name="Tomorrow morning").click()
    await expect(page.get_by_text("The server cannot be reached.")).to_have_count(1)
    await dialog.get_by_role("button", name="Tomorrow morning").click()
    await expect(page.get_by_text("The server cannot be reached.")).to_have_count(2)
    # Another time, from a dialog that is opened anew: the message that is there already is moved.
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Send later").click()
    await dialog.get_by_role("button", name="Monday morning").click()
    await expect(box).to_have_value("")
    (item,) = (await ann.rest("GET", "/scheduled"))["items"]
    assert lost == [201, 200]
    day = await page.evaluate(
        "(iso) => { const at = new Date(iso); return [at.getDay(), at.getHours()]; }", item["send_at"]
    )
    assert day == [1, 9]

    # What is said after it in the same words is another message.
    await box.fill("Good morning")
    await page.get_by_role("button", name="Send later").click()
    await dialog.get_by_role("button", name="Monday morning").click()
    await expect(box).to_have_value("")
    assert len((await ann.rest("GET", "/scheduled"))["items"]) == 2


async def test_a_double_click_schedules_one_message(person: Arrive) -> None:
    ann, _ = await conversation(person)
    await ann.page.get_by_role("textbox", name="Message").fill("Good morning")
    await ann.page.get_by_role("button", name="Send later").click()
    choice = ann.page.get_by_role("dialog", name="Send later").get_by_role("button", name="Tomorrow morning")
    await choice.evaluate("(button) => { button.click(); button.click(); }")
    await expect(ann.page.get_by_text("It is sent: ")).to_be_visible()
    # What was asked for twice would have been asked for before this.
    assert len((await ann.rest("GET", "/scheduled"))["items"]) == 1
