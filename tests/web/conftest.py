"""A real server, a cable to it, and people at real browsers."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.ops.serving import Serving
from tests.web.wire import Wire

CHROMIUM = shutil.which("chromium")
#: A wait ends when its thing comes; on a machine that does much else that may take long.
PATIENCE_MS = 60_000
PASSWORD = "correct horse"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
UNLIMITED = {
    f"CHATD_LIMITS_{name}": "0"
    for name in (
        "REGISTRATIONS_PER_MINUTE",
        "REST_PER_MINUTE",
        "LOGINS_PER_MINUTE",
        "COMMANDS_PER_10S",
        "SENDS_PER_10S",
    )
}
expect.set_options(timeout=PATIENCE_MS)
#: The fixture ``person``.
Arrive = Callable[..., Any]
#: No two people have one address, although one server serves them all.
NUMBERS = itertools.count()

#: Make an account and leave its tokens where the page finds them.
ARRIVE = """async (account) => {
  const post = async (path, body) => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  await post("/api/users", account);
  const { email, password } = account;
  const device = { name: "Chrome on Linux", platform: "web" };
  const { expires_in, token_type, ...tokens } = await post("/api/auth/login", { email, password, device });
  const times = { lifetime_ms: expires_in * 1000, expires_at: Date.now() + expires_in * 1000 };
  localStorage["chatd.session"] = JSON.stringify({ ...tokens, ...times });
}"""
#: A call with the page's own token, decoded; what is refused fails the test.
REST = """async ([method, path, body]) => {
  const { access_token } = JSON.parse(localStorage["chatd.session"]);
  const headers = { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" };
  const sent = body === null ? undefined : JSON.stringify(body);
  const response = await fetch(`/api${path}`, { method, headers, body: sent });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One loop for all tests here, since one browser serves them all; and time, since browsers are slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(300))
            if iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A `chatd serve` of two workers, with everything of its own."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    environ = {**UNLIMITED, "CHATD_SECRETS_VAPID_KEY": key.decode()}
    serving = Serving(tmp_path_factory.mktemp("web"), ("--port", "0", "--workers", "2"), environ)
    try:
        serving.saw("ready on ")
        yield serving
    finally:
        serving.end()


@pytest_asyncio.fixture(loop_scope="session")
async def wire(serving: Serving) -> AsyncIterator[Wire]:
    """The cable to it."""
    wire = Wire(serving.url)
    await wire.plug_in()
    yield wire
    await wire.pull()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, without a head."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine (Debian: apt install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


async def conversation(person: Arrive) -> tuple[Any, Any]:
    """Two people who have met; Ann's page shows it."""
    ann, bob = await person("Ann Lee"), await person("Bob Ray")
    await bob.meet(ann)
    await ann.open("Bob Ray")
    return ann, bob


async def choose(person: Any, *chosen: dict[str, Any]) -> None:
    """Attach these files to what is being written."""
    async with person.page.expect_file_chooser() as choosing:
        await person.page.get_by_role("button", name="Attach a picture or video").click()
    await (await choosing.value).set_files(list(chosen))


async def hold(page: Page, path: str) -> asyncio.Event:
    """Requests wait on their way until the event is set."""
    ready = asyncio.Event()

    async def wait(route: Any) -> None:
        await ready.wait()
        await route.continue_()

    await page.route(path, wait)
    return ready


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, name: str, context: BrowserContext, page: Page, url: str) -> None:
        self.name, self.context, self.page, self.url = name, context, page, url
        self.email = f"{name.split()[0].lower()}-{next(NUMBERS)}@example.com"
        self.elsewhere_too: list[BrowserContext] = []
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"{error}"))
        page.on("console", lambda message: self._heard(message))

    def _heard(self, message: Any) -> None:
        # A browser says itself what was cut off or refused, whatever a page does about it; nothing else may.
        noise = ("ERR_", "WebSocket", "Failed to load resource")
        if message.type == "error" and not any(word in message.text for word in noise):
            self.complaints.append(message.text)

    async def arrive(self) -> None:
        """Have an account and be logged in, without typing."""
        account = {"email": self.email, "password": PASSWORD, "display_name": self.name}
        await self.page.goto(f"{self.url}/icon.svg")
        await self.page.evaluate(ARRIVE, account)
        await self.page.goto(self.url)
        await expect(self.page.get_by_role("navigation", name="Conversations")).to_be_visible()

    async def join(self) -> None:
        """Create an account at the door, as people do."""
        page = self.page
        await page.goto(self.url)
        await page.get_by_role("button", name="Create an account").click()
        await page.get_by_label("Your name").fill(self.name)
        await page.get_by_label("Email").fill(self.email)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()

    async def elsewhere(self, password: str = PASSWORD, **options: Any) -> Page:
        """Logged in at another browser."""
        assert self.context.browser is not None
        context = await self.context.browser.new_context(**options)
        self.elsewhere_too.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        await self.log_in(page, password)
        return page

    async def log_in(self, page: Page, password: str = PASSWORD) -> None:
        """As people do, at the page of whatever browser."""
        await page.goto(self.url)
        await page.get_by_label("Email").fill(self.email)
        await page.get_by_label("Password").fill(password)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()

    async def settings(self, matter: str) -> None:
        """A matter of one's settings, as one finds it."""
        await self.page.get_by_role("button", name=f"{self.name}: your account").click()
        await self.page.get_by_role("menuitem", name="Settings").click()
        await self.page.get_by_role("navigation", name="Settings").get_by_role("link", name=matter).click()
        await expect(self.page.get_by_role("heading", name=matter, level=2)).to_be_visible()

    async def rest(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers to this person's token."""
        return await self.page.evaluate(REST, [method, path, body])

    async def id(self) -> str:
        return str(await self.page.evaluate("JSON.parse(localStorage['chatd.session']).user.id"))

    async def meet(self, other: "Person") -> None:
        """Follow the other's link."""
        await self.page.goto(f"{self.url}/#/with/{await other.id()}")
        await expect(self.page.get_by_role("heading", name=other.name)).to_be_visible()

    async def open(self, title: str) -> None:
        """A conversation of the list."""
        await self.page.get_by_role("link", name=title).click()
        await expect(self.page.get_by_role("heading", name=title)).to_be_visible()

    async def say(self, text: str) -> None:
        box = self.page.get_by_role("textbox", name="Message")
        await box.fill(text)
        await box.press("Enter")

    def message(self, text: str) -> Any:
        """The message with this text, in the open conversation: a thread beside it may show it once more."""
        return self.page.locator(".conversation li.message", has=self.page.locator(".words", has_text=text))

    async def act(self, text: str, what: str) -> None:
        """Choose from the menu of a message."""
        await self.message(text).hover()
        await self.message(text).get_by_role("button", name="What to do with this message").click()
        await self.page.get_by_role("menuitem", name=what).click()

    async def words(self) -> list[str]:
        """What the messages of the open conversation say, in order."""
        return list(await self.page.locator(".conversation li.message .words").all_inner_texts())

    async def sees(self, *texts: str) -> None:
        """Wait for exactly these messages, in this order."""
        await expect(self.page.locator(".conversation li.message .words")).to_have_text(list(texts))


@pytest_asyncio.fixture(loop_scope="session")
async def person(browser: Browser, wire: Wire) -> AsyncIterator[Callable[..., Any]]:
    """``await person("Ann Lee")``: somebody logged in, whose page may complain of nothing."""
    people: list[Person] = []

    async def arrive(name: str, *, typing: bool = False, **options: Any) -> Person:
        context = await browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        someone = Person(name, context, await context.new_page(), wire.url)
        people.append(someone)
        await (someone.join() if typing else someone.arrive())
        return someone

    yield arrive
    for someone in people:
        for context in (*someone.elsewhere_too, someone.context):
            await context.close()
    assert {someone.name: someone.complaints for someone in people if someone.complaints} == {}
