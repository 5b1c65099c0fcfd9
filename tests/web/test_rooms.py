"""What stands around the conversation: search, GPs nearby, requests of strangers, blocks."""

import asyncio

from playwright.async_api import expect

from tests.web.conftest import Arrive

BERLIN = {"geolocation": {"latitude": 52.52, "longitude": 13.4}, "permissions": ["geolocation"]}


async def test_a_word_is_found_in_what_others_said(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await bob.say("Shall I bring <b>pumpkin</b> bread")
    await expect(bob.page.locator("li.message .tick.sent, li.message .tick.delivered")).to_have_count(1)
    field = ann.page.get_by_role("searchbox", name="Search conversations and messages")
    found = ann.page.locator(".found mark")
    async with asyncio.timeout(120):
        while True:  # the index is a second or two behind the log
            await field.fill("")
            async with ann.page.expect_response(lambda response: "/search/messages" in response.url):
                await field.fill("pumpkin")
            await expect(ann.page.locator(".found h2")).to_be_visible()
            if await found.count():
                break
    await expect(ann.page.locator(".found .preview")).to_have_text("Shall I bring <b>pumpkin</b> bread")
    await found.click()
    await expect(ann.message("pumpkin")).to_be_focused()


async def test_two_meet_in_a_gp_nearby(person: Arrive) -> None:
    ann, bob = await person("Ann Lee", **BERLIN), await person("Bob Ray", **BERLIN)
    await ann.page.get_by_role("link", name="Nearby").click()
    await ann.page.get_by_role("button", name="New GP").click()
    await ann.page.get_by_label("Which").select_option("Chill")
    await ann.page.get_by_text("Trip planning").click()
    await ann.page.get_by_label("A word about it").fill("Coffee by the canal")
    await ann.page.get_by_role("button", name="Open it").click()
    bar = ann.page.get_by_role("group", name="About this GP")
    await expect(bar).to_contain_text("1 of 5 are in")

    await bob.page.get_by_role("link", name="Nearby").click()
    await bob.page.get_by_role("article").filter(has_text="Coffee by the canal").get_by_role("button").click()
    await expect(bar).to_contain_text("2 of 5 are in")
    await bob.say("Hi")
    await ann.sees("Hi")
    await bob.page.get_by_role("button", name="Leave", exact=True).click()
    await bob.page.get_by_role("dialog").get_by_role("button", name="Leave", exact=True).click()
    await expect(bob.page.get_by_role("link", name="Chill")).to_have_count(0)
    await expect(bar).to_contain_text("1 of 5 are in")


async def test_a_stranger_asks_first_where_one_wants_that_and_may_be_blocked(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await ann.settings("Privacy")
    await ann.page.get_by_label("Who may write to me directly").select_option("shared_chats")
    await ann.page.get_by_role("button", name="Save").click()
    await expect(ann.page.get_by_text("Saved.")).to_be_visible()
    await bob.meet(ann)
    await bob.say("We met at the lake")
    await expect(bob.page.locator("li.message .tick.sent")).to_have_count(1)
    await ann.page.get_by_role("button", name="Bob Ray wants to write to you").click()
    await expect(ann.page.get_by_role("dialog")).to_contain_text("We met at the lake")
    await ann.page.get_by_role("button", name="Accept").click()
    await ann.sees("We met at the lake")

    await ann.page.get_by_role("button", name="Details", exact=True).click()
    await ann.page.get_by_role("button", name="Block", exact=True).click()
    await ann.page.get_by_role("dialog", name="Block Bob Ray?").get_by_role("button", name="Block").click()
    await expect(ann.page.get_by_role("button", name="Unblock")).to_be_visible()
    await bob.say("Are you there?")
    await expect(bob.page.get_by_role("alert")).to_contain_text("Try again")
    await ann.sees("We met at the lake")
