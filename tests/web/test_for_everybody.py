"""The page for who has no mouse, who does not see it, who has a phone, and in the dark."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.web.conftest import Arrive, hold

BERLIN = {"latitude": 52.52, "longitude": 13.4}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

PROBES = Path(__file__).with_name("probes.js").read_text("utf-8")


async def ask(person: Any, probe: str) -> Any:
    """What a probe finds on somebody's page."""
    return await person.page.evaluate(f"{PROBES.strip()}.{probe}()")


async def talk(person: Arrive, **options: Any) -> tuple[Any, Any]:
    ann, bob = await person("Ann Lee", **options), await person("Bob Ray")
    await bob.meet(ann)
    for text in ("One", "Two", "Three https://example.com/"):
        await bob.say(text)
    await expect(ann.page.get_by_role("link", name="Bob Ray")).to_be_visible()
    return ann, bob


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read_and_every_control_has_a_name(person: Arrive, scheme: str) -> None:
    ann, _ = await talk(person, color_scheme=scheme)
    page = ann.page

    async def look(where: str) -> None:
        found = [await ask(ann, probe) for probe in ("tooFaint", "nameless", "broken", "misnamed")]
        assert (where, *found) == (where, [], [], [], [])

    await look("the list")
    await ann.open("Bob Ray")
    await ann.say("Mine")
    await ann.act("Two", "React with 👍")
    await ann.act("Two", "Pin")
    await ann.act("Two", "Reply")
    await ann.say("A reply")
    await expect(page.get_by_role("group", name="Pinned")).to_be_visible()
    await look("a conversation")
    for label in ("New conversation", "Details", "1 reply", "All pinned messages"):
        await page.get_by_role("button", name=label, exact=True).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await look(label)
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
    await ann.act("One", "Forward")
    await look("forwarding")
    await page.keyboard.press("Escape")
    await page.get_by_role("textbox", name="Message").fill("Later")
    await page.get_by_role("button", name="Send later").click()
    await look("sending later")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Ann Lee: your account").click()
    await look("a menu")
    await page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_beside_the_conversations_are_for_everybody_too(person: Arrive, scheme: str) -> None:
    ann = await person("Ann Lee", color_scheme=scheme, geolocation=BERLIN, permissions=["geolocation"])
    matters = ("profile", "notifications", "privacy", "blocked", "scheduled", "sessions", "password", "data")
    for place in ("settings", *(f"settings/{matter}" for matter in matters), "notifications", "gp"):
        await ann.page.goto(f"{ann.url}/#/{place}")
        await expect(ann.page.locator("main h2")).to_be_focused()
        await expect(ann.page.locator("main [aria-busy=true]")).to_have_count(0)
        await expect(ann.page.get_by_text("Loading…")).to_have_count(0)
        found = [await ask(ann, probe) for probe in ("tooFaint", "nameless", "broken", "tooSmall")]
        assert (place, *found) == (place, [], [], [], [])
    await ann.page.get_by_role("button", name="New GP").click()
    await expect(ann.page.get_by_role("dialog", name="New GP")).to_be_visible()
    assert await ask(ann, "broken") == []


async def test_everything_can_be_done_with_the_keyboard(person: Arrive) -> None:
    ann, bob = await talk(person)
    page = ann.page
    await page.get_by_role("searchbox").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    box = page.get_by_role("textbox", name="Message")
    await expect(box).to_be_focused()
    await ann.sees("One", "Two", "Three https://example.com/")

    # Back from the box to the newest message, up to an older one, and its menu.
    newest = ann.message("Three")
    await newest.focus()
    await page.keyboard.press("ArrowUp")
    await expect(ann.message("Two")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menu")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(ann.message("Two")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("End")
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await expect(box).to_be_focused()
    await page.keyboard.type("Four")
    await page.keyboard.press("Enter")
    await expect(bob.message("Four").locator(".quote")).to_contain_text("Two")
    # Here it may come later than there; and what is not here as sent cannot be edited.
    await expect(ann.message("Four").locator(".tick:is(.sent, .delivered, .read)")).to_be_visible()
    await expect(box).to_be_focused()

    await page.keyboard.press("ArrowUp")
    await expect(box).to_have_value("Four")
    await page.keyboard.press("Escape")
    await expect(box).to_have_value("")

    opener = page.get_by_role("button", name="New conversation")
    await opener.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("searchbox", name="Find people")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(opener).to_be_focused()


async def test_who_leaves_a_menu_is_back_at_the_message_also_where_that_was_drawn_anew(
    person: Arrive,
) -> None:
    ann, bob = await talk(person)
    await ann.open("Bob Ray")
    await ann.message("Two").focus()
    await ann.page.keyboard.press("Enter")
    await expect(ann.page.get_by_role("menu")).to_be_visible()
    await bob.act("Two", "Edit")
    await bob.say("Two and a half")
    await expect(ann.message("Two and a half")).to_contain_text("edited")
    await ann.page.keyboard.press("Escape")
    await expect(ann.message("Two and a half")).to_be_focused()


async def test_nothing_lies_over_what_one_writes_and_no_menu_outlives_its_place(person: Arrive) -> None:
    ann, bob = await talk(person)
    await ask(bob, "writeMany")
    await ann.open("Bob Ray")
    await expect(ann.message("old 56")).to_be_in_viewport()
    page = ann.page
    box, jump = page.locator(".composer"), page.get_by_role("button", name="Go to the newest message")
    await page.get_by_role("textbox", name="Message").fill("line\n" * 12)
    await page.locator(".scroller").evaluate("(element) => { element.scrollTop = 0; }")
    await expect(jump).to_be_visible()
    above, below = await jump.bounding_box(), await box.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"]
    await page.get_by_role("button", name="Emoji").click()
    await expect(page.get_by_role("menuitem", name="Insert 🎉")).to_be_visible()
    await page.set_viewport_size({"width": 390, "height": 600})
    await expect(page.get_by_role("menu")).to_have_count(0)


async def test_everybody_is_offered_also_where_their_names_come_late(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    chat = {"type": "group", "title": "Lake trip", "member_ids": [await bob.id()]}
    made = await ann.rest("POST", "/chats", chat)
    ready = await hold(ann.page, "**/users?ids=*")
    await ann.page.goto(f"{ann.url}/#/chat/{made['id']}")
    await ann.page.get_by_role("textbox", name="Message").press_sequentially("Hey @")
    offers = ann.page.get_by_role("listbox", name="People").get_by_role("option")
    await expect(offers.locator(".name")).to_have_text(["all"])
    ready.set()
    await expect(offers.locator(".name")).to_have_text(["Bob Ray", "all"])
    assert await ask(ann, "tooFaint") == []


async def test_a_menu_is_whole_also_where_it_is_asked_for_early(person: Arrive) -> None:
    ann, _ = await talk(person)
    ready = await hold(ann.page, "**/openapi.json")
    await ann.page.reload()
    await ann.open("Bob Ray")
    await ann.message("Two").hover()
    await ann.message("Two").get_by_role("button", name="What to do with this message").click()
    ready.set()
    for what in ("Reply", "Pin", "Forward", "Report"):
        await expect(ann.page.get_by_role("menuitem", name=what, exact=True)).to_be_visible()


async def test_what_comes_in_is_announced(person: Arrive) -> None:
    ann, bob = await talk(person)
    await ann.open("Bob Ray")
    await bob.say("Listen")
    await expect(ann.page.locator("[aria-live=polite]#announcer")).to_have_text("Bob Ray: Listen")


async def test_a_phone_shows_the_list_or_a_conversation(person: Arrive) -> None:
    ann, bob = await talk(person, **PHONE)
    page = ann.page
    await expect(page.get_by_role("textbox", name="Message")).to_be_hidden()
    await ann.open("Bob Ray")
    await expect(page.get_by_role("navigation", name="Conversations")).to_be_hidden()
    # Nothing hangs over the edge, and what is tapped is big enough (WCAG 2.2, 2.5.8).
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await ask(ann, "tooSmall") == []
    box = page.get_by_role("textbox", name="Message")
    await box.fill("From the train")
    await page.get_by_role("button", name="Send", exact=True).tap()
    await expect(bob.page.get_by_role("link", name="Ann Lee")).to_contain_text("From the train")
    await page.get_by_role("link", name="Back to the list").tap()
    await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()


async def test_older_messages_come_as_one_scrolls_up(person: Arrive) -> None:
    ann, bob = await talk(person)
    await ask(bob, "writeMany")
    await ann.open("Bob Ray")
    await expect(ann.message("old 56")).to_be_in_viewport()
    await expect(ann.page.locator("li.message .words", has_text="One")).to_have_count(0)
    await ann.page.locator(".scroller").evaluate("(element) => { element.scrollTop = 0; }")
    await expect(ann.page.locator("li.message .words", has_text="One")).to_have_count(1)
    await expect(ann.page.get_by_text("The beginning of this conversation")).to_have_count(1)
    await expect(ann.page.get_by_role("button", name="Go to the newest message")).to_be_visible()
