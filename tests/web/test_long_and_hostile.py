"""Long conversations, narrow and enlarged pages, and people who mean harm."""

import asyncio
import io

import pytest
from PIL import Image
from playwright.async_api import expect

from tests.web.conftest import Arrive, choose, conversation, hold

EVIL = """<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>"""

#: So many messages of whoever is logged in, in the conversation that is open.
WRITE = """async (count) => {
  const { access_token } = JSON.parse(localStorage["chatd.session"]);
  const headers = { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" };
  const chat = location.hash.split("/")[2];
  for (let i = 0; i < count; i += 20) {
    await Promise.all(Array.from({ length: Math.min(20, count - i) }, async (_, j) => {
      const content = { type: "text", text: `line ${i + j}. ${"word ".repeat((i + j) % 40)}` };
      const body = JSON.stringify({ client_message_id: `w${i + j}`, content });
      const response = await fetch(`/api/chats/${chat}/messages`, { method: "POST", headers, body });
      if (!response.ok) throw new Error(await response.text());
    }));
  }
}"""
#: Count the messages that are made, changed or taken away from now on.
WATCH = """() => {
  window.changed = 0;
  new MutationObserver((all) => {
    for (const { addedNodes, removedNodes } of all) window.changed += addedNodes.length + removedNodes.length;
  }).observe(document.querySelector(".log"), { childList: true });
}"""
#: Where a message stands in the window.
TOP = "(element) => element.getBoundingClientRect().top"


async def test_what_one_reads_stays_where_it_is_while_older_messages_come_in_above(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.page.evaluate(WRITE, 120)
    await ann.page.reload()
    shown = ann.page.locator("li.message")
    await expect(shown).to_have_count(50)
    # The answer waits until the test has seen where the oldest message stands.
    ready = await hold(ann.page, "**/messages?*before_seq*")
    async with ann.page.expect_request("**/messages?*before_seq*"):
        await ann.page.locator(".scroller").evaluate("(element) => { element.scrollTop = 300; }")
    # Which line it is, is not known: they were written many at a time.
    oldest = ann.page.locator(f"li.message[data-id={await shown.first.get_attribute('data-id')}]")
    before = await oldest.evaluate(TOP)
    ready.set()
    await expect(shown).to_have_count(100)
    assert abs(await oldest.evaluate(TOP) - before) <= 1


async def test_a_window_that_holds_more_than_a_page_of_messages_is_filled(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.page.evaluate(WRITE.replace('${"word ".repeat((i + j) % 40)}', ""), 120)
    await ann.page.set_viewport_size({"width": 1000, "height": 4000})
    await ann.page.reload()
    await expect(ann.page.locator("li.message")).to_have_count(120)
    await expect(ann.page.get_by_text("The beginning of this conversation")).to_be_visible()


async def test_a_message_more_among_hundreds_makes_one_element(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.page.evaluate(WRITE, 300)
    await ann.page.reload()
    shown = ann.page.locator("li.message")
    await expect(shown).to_have_count(50)
    for count in range(100, 301, 50):
        await ann.page.locator(".scroller").evaluate("(element) => { element.scrollTop = 0; }")
        await expect(shown).to_have_count(count)
    await expect(ann.page.get_by_text("The beginning of this conversation")).to_be_visible()
    await ann.page.get_by_role("button", name="Go to the newest message").click()
    await ann.page.evaluate(WATCH)
    await bob.say("One more")
    await expect(ann.message("One more")).to_be_in_viewport()
    await expect(bob.message("One more").get_by_role("img", name="Read")).to_be_visible()
    # The new one comes, and the one before it is made anew where it ends a row no longer.
    assert await ann.page.evaluate("window.changed") <= 3


@pytest.mark.parametrize(("width", "height"), [(640, 400), (320, 480)])
async def test_an_enlarged_page_needs_no_scrolling_sideways(person: Arrive, width: int, height: int) -> None:
    ann, bob = await conversation(person)
    await bob.say("Donaudampfschifffahrtselektrizitätenhauptbetriebswerk" * 3)
    await bob.say("https://example.com/" + "a-long-address/" * 20)
    await bob.say("مرحبا! هل سنلتقي غدا الساعة 18:30؟")
    await expect(ann.page.locator("li.message")).to_have_count(3)
    page = ann.page
    await page.set_viewport_size({"width": width, "height": height})
    boxes = "[document.documentElement, ...document.querySelectorAll('.scroller, dialog')]"
    fits = f"{boxes}.every((e) => e.scrollWidth <= e.clientWidth)"
    await expect(page.get_by_role("textbox", name="Message")).to_be_in_viewport()
    assert await page.evaluate(fits)
    await expect(ann.message("مرحبا").locator(".words")).to_have_css("direction", "rtl")
    await page.get_by_role("textbox", name="Message").fill("words " * 60)
    await page.get_by_role("button", name="Send later").click()
    assert await page.evaluate(fits)
    await page.keyboard.press("Escape")
    for place in ("settings", "settings/notifications", "settings/sessions", "notifications", "gp"):
        await page.goto(f"{ann.url}/#/{place}")
        await expect(page.get_by_role("heading", level=2)).to_be_visible()
        await expect(page.locator("[aria-busy=true]")).to_have_count(0)
        assert (place, await page.evaluate(fits)) == (place, True)


async def test_nothing_that_others_write_becomes_part_of_the_page(person: Arrive) -> None:
    ann, eve = await person("Ann Lee"), await person(f"Eve {EVIL[:40]}")
    chat = {"type": "group", "title": EVIL, "member_ids": [await ann.id()]}
    made = await eve.rest("POST", "/chats", chat)
    for who in (eve, ann):
        await who.page.goto(f"{who.url}/#/chat/{made['id']}")
        await expect(who.page.get_by_role("heading", name="<img src=x")).to_be_visible()
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "PNG")
    await choose(eve, {"name": f"{EVIL[:30]}.png", "mimeType": "image/png", "buffer": out.getvalue()})
    await expect(eve.page.locator(".attaching .done")).to_have_count(1)
    await eve.say(f"pumpkin {EVIL} javascript:alert(1) https://example.com/{EVIL}")
    await expect(ann.message("pumpkin").get_by_role("img")).to_be_visible()
    await eve.act("pumpkin", "Pin")
    await expect(ann.page.get_by_role("group", name="Pinned")).to_contain_text("<script>")
    await ann.act("pumpkin", "Reply")
    await ann.say("Look at this")
    await ann.message("pumpkin").get_by_role("button", name="1 reply").click()
    await expect(ann.page.get_by_role("dialog", name="Thread")).to_contain_text("<script>")
    await ann.page.keyboard.press("Escape")
    await ann.page.get_by_role("button", name="Details", exact=True).click()
    await expect(ann.page.get_by_role("dialog")).to_contain_text("<img src=x")
    await ann.page.keyboard.press("Escape")
    field = ann.page.get_by_role("searchbox", name="Search conversations and messages")
    found = ann.page.locator(".found .preview", has_text="<script>")
    async with asyncio.timeout(120):
        while not await found.count():  # the index is a second or two behind the log
            await field.fill("")
            async with ann.page.expect_response(lambda response: "/search/messages" in response.url):
                await field.fill("pumpkin")
            await expect(ann.page.locator(".found h2")).to_be_visible()
    links = await ann.page.evaluate("[...document.links].map((link) => new URL(link.href).protocol)")
    assert set(links) <= {"http:", "https:"}
    for who in (ann, eve):
        assert await who.page.evaluate(
            "[window.harmed, document.querySelectorAll('img[src=x], .log script').length]"
        ) == [None, 0]


async def test_what_holds_the_lists_place_goes_when_the_list_comes(person: Arrive) -> None:
    ann, _ = await conversation(person)
    ready = await hold(ann.page, "**/api/chats?*")
    await ann.page.reload()
    await expect(ann.page.locator(".chats .ghost")).to_have_count(5)
    ready.set()
    await expect(ann.page.get_by_role("link", name="Bob Ray")).to_be_visible()
    await expect(ann.page.locator(".chats .ghost")).to_have_count(0)
