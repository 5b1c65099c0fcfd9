"""One's own matters: news, devices, password, privacy, data."""

import json
from pathlib import Path

from playwright.async_api import expect

from tests.web.conftest import Arrive

PHONE_AGENT = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Safari/604.1"


async def test_a_login_elsewhere_is_told_at_once_and_can_be_ended(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.settings("Devices")
    phone = await ann.elsewhere(user_agent=PHONE_AGENT)
    bell = ann.page.get_by_role("link", name="Notifications, 1 unread")
    await bell.click()
    news = ann.page.get_by_role("region", name="Notifications")
    await news.get_by_role("button", name="New login").click()
    await expect(ann.page.get_by_role("heading", name="Devices", level=2)).to_be_visible()
    await expect(ann.page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()
    await ann.page.get_by_role("button", name="Log out Safari on iPhone").click()
    await expect(phone.get_by_role("heading", name="Welcome back")).to_be_visible()
    await expect(ann.page.get_by_role("listitem").filter(has_text="This device")).to_have_count(1)
    await expect(ann.page.get_by_role("button", name="Log out everywhere else")).to_have_count(0)


async def test_all_news_are_read_with_one_click(person: Arrive) -> None:
    ann = await person("Ann Lee")
    phone = await ann.elsewhere(user_agent=PHONE_AGENT)
    for page in (ann.page, phone):
        await page.get_by_role("link", name="Notifications, 1 unread").click()
    await phone.get_by_role("button", name="Mark all as read").click()
    for page in (ann.page, phone):
        await expect(page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()
        await expect(page.get_by_role("button", name="Mark all as read")).to_be_hidden()


async def test_what_one_is_told_is_kept(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.settings("Notifications")
    page = ann.page
    await page.get_by_label("Show in a push what was said").uncheck()
    await page.get_by_label("From").fill("22:00")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Quiet hours need a beginning and an end.")).to_be_visible()
    await page.get_by_label("Until").fill("07:30")
    await page.get_by_label("A letter about what I have not read").select_option("Once a week")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("Show in a push what was said")).not_to_be_checked()
    await expect(page.get_by_label("Until")).to_have_value("07:30")
    await expect(page.get_by_label("A letter about what I have not read")).to_have_value("weekly")
    await page.get_by_label("From").fill("")
    await page.get_by_label("Until").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Saved.")).to_be_visible()
    assert (await ann.rest("GET", "/notifications/settings"))["quiet_from"] is None


async def test_the_password_is_changed_by_who_knows_it(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.settings("Password")

    async def change(present: str, new: str, again: str) -> None:
        for label, text in (
            ("Present password", present),
            ("New password", new),
            ("New password again", again),
        ):
            await ann.page.get_by_label(label, exact=True).fill(text)
        await ann.page.get_by_role("button", name="Change password").click()

    problem = ann.page.get_by_role("alert")
    await change("correct horse", "short", "short")
    await expect(problem).to_have_text("The new password needs at least 8 characters.")
    await change("correct horse", "battery staple", "battery stable")
    await expect(problem).to_have_text("The two new passwords differ.")
    await change("wrong horse", "battery staple", "battery staple")
    await expect(problem).to_have_text("The present password is not right.")
    await change("correct horse", "battery staple", "battery staple")
    await expect(ann.page.get_by_text("Your password is changed.")).to_be_visible()
    await ann.elsewhere("battery staple")


async def test_a_copy_of_ones_data_is_fetched_as_one_file(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.settings("Your data")
    async with ann.page.expect_download(timeout=120_000) as fetching:
        await ann.page.get_by_role("button", name="Ask for a copy").click()
    copy = json.loads(Path(await (await fetching.value).path()).read_text("utf-8"))
    assert ann.email in json.dumps(copy)
    await expect(ann.page.get_by_text("The copy has been downloaded.")).to_be_visible()


async def test_an_account_is_deleted_by_its_password_alone(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.settings("Your data")
    await ann.page.get_by_role("button", name="Delete my account").click()
    dialog = ann.page.get_by_role("dialog", name="Delete your account?")
    await dialog.get_by_label("Password").fill("wrong horse")
    await dialog.get_by_role("button", name="Delete for good").click()
    await expect(dialog.get_by_role("alert")).to_have_text("This password is not right.")
    await dialog.get_by_label("Password").fill("correct horse")
    await dialog.get_by_role("button", name="Delete for good").click()
    await expect(ann.page.get_by_role("heading", name="Welcome back")).to_be_visible()
    await ann.page.get_by_label("Email").fill(ann.email)
    await ann.page.get_by_label("Password").fill("correct horse")
    await ann.page.get_by_role("button", name="Log in").click()
    await expect(ann.page.get_by_role("alert")).to_have_text(
        "This email and password do not belong together."
    )


async def test_who_is_blocked_stands_in_a_list_and_can_be_let_back(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.rest("PUT", f"/blocks/{await bob.id()}")
    await ann.settings("Blocked people")
    await ann.page.get_by_role("button", name="Unblock Bob Ray").click()
    await expect(ann.page.get_by_text("You have blocked nobody.")).to_be_visible()
    await bob.say("Back again")
    await expect(ann.page.get_by_role("link", name="Bob Ray")).to_contain_text("Back again")


async def test_a_message_and_a_person_can_be_reported(person: Arrive) -> None:
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await bob.say("Buy my pills")
    await ann.open("Bob Ray")
    await ann.act("Buy my pills", "Report")
    for opened in ("Report a message", "Report Bob Ray"):
        dialog = ann.page.get_by_role("dialog", name=opened)
        await dialog.get_by_label("What is wrong").select_option("Spam")
        await dialog.get_by_label("Anything to add").fill("Every day")
        async with ann.page.expect_response("**/report") as answering:
            await dialog.get_by_role("button", name="Report").click()
        assert (await answering.value).status == 201
        await expect(dialog).to_have_count(0)
        if opened == "Report a message":
            await ann.page.get_by_role("button", name="Details", exact=True).click()
            await ann.page.get_by_role("dialog").get_by_role("button", name="Report").click()


async def test_who_sees_more_than_ones_name_is_chosen(person: Arrive) -> None:
    ann = await person("Ann Lee")
    await ann.settings("Privacy")
    field = ann.page.get_by_label("Who may see more of me than my name")
    await expect(field).to_have_value("everyone")
    await field.select_option("Nobody")
    await ann.page.get_by_role("button", name="Save").click()
    await expect(ann.page.get_by_text("Saved.")).to_be_visible()
    privacy = await ann.rest("GET", "/privacy")
    assert {**privacy, "profile": "nobody"} == privacy
    await ann.page.reload()
    await expect(field).to_have_value("nobody")
