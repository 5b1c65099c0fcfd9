"""Pictures and videos from one browser to another."""

import asyncio
import base64
import io
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.async_api import expect

from tests.ops.serving import Serving
from tests.web.conftest import Arrive, choose, conversation

#: Natural size of a picture once it is there.
SIZE = "(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
#: A short film that the browser makes itself, as base64.
RECORD = """async () => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
  const brush = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm;codecs=vp8" });
  const parts = [];
  let frames = 0;
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const done = new Promise((resolve) => { recorder.onstop = resolve; });
  recorder.start();
  const paint = () => {
    brush.fillStyle = `hsl(${frames * 20} 80% 50%)`;
    brush.fillRect(0, 0, 64, 48);
    if (++frames < 20) requestAnimationFrame(paint);
    else recorder.stop();
  };
  paint();
  await done;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(String.fromCharCode(...bytes));
}"""
#: Its size once it has been played to the end.
PLAY = """async (video) => {
  video.muted = true;
  const ended = new Promise((resolve, reject) => {
    video.onended = resolve;
    video.onerror = () => reject(video.error);
  });
  await video.play();
  await ended;
  return [video.videoWidth, video.videoHeight];
}"""


def picture(width: int, height: int) -> bytes:
    """A PNG whose bytes nobody else has."""
    out = io.BytesIO()
    Image.effect_noise((width, height), 80).convert("RGB").save(out, "PNG")
    return out.getvalue()


async def test_a_picture_goes_to_the_other_small_and_whole(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await choose(bob, {"name": "lake.png", "mimeType": "image/png", "buffer": picture(1200, 900)})
    await expect(bob.page.locator(".attaching .done")).to_have_count(1)
    await bob.say("At the lake")
    await expect(bob.page.locator(".attaching")).to_be_hidden()
    thumbnail = ann.message("At the lake").get_by_role("img", name="lake.png")
    await expect(thumbnail).to_be_visible()
    assert await thumbnail.evaluate(SIZE) == [480, 360]
    await ann.page.get_by_role("button", name="Show lake.png").click()
    whole = ann.page.get_by_role("dialog", name="lake.png").get_by_role("img", name="lake.png")
    assert await whole.evaluate(SIZE) == [1200, 900]
    await ann.page.keyboard.press("Escape")
    await expect(ann.page.get_by_role("dialog")).to_have_count(0)
    await expect(ann.page.get_by_role("button", name="Show lake.png")).to_be_focused()


async def test_a_picture_much_taller_than_wide_takes_no_more_than_its_place(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await choose(bob, {"name": "tower.png", "mimeType": "image/png", "buffer": picture(90, 900)})
    await expect(bob.page.locator(".attaching .done")).to_have_count(1)
    await bob.say("How high")
    await expect(ann.message("How high").get_by_role("img", name="tower.png")).to_be_visible()
    assert await ann.message("How high").locator(".attachment").evaluate("(e) => e.offsetHeight") <= 340


async def test_an_upload_shows_how_far_it_is_and_can_be_left_out(person: Arrive) -> None:
    _, bob = await conversation(person)
    # The bytes wait on their way until the test has looked.
    held: list[Any] = []
    await bob.page.route("**/upload?*", lambda route: held.append(route))
    await choose(bob, {"name": "lake.png", "mimeType": "image/png", "buffer": picture(40, 30)})
    await expect(bob.page.get_by_role("progressbar", name="Uploading lake.png")).to_be_visible()
    await expect(bob.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    await bob.page.get_by_role("button", name="Leave out lake.png").click()
    await expect(bob.page.locator(".attaching")).to_be_hidden()
    for route in held:
        await route.abort()


async def test_a_video_can_be_played(person: Arrive) -> None:
    ann, bob = await conversation(person)
    recorded = base64.b64decode(await bob.page.evaluate(RECORD))
    await choose(bob, {"name": "waves.webm", "mimeType": "video/webm", "buffer": recorded})
    await expect(bob.page.locator(".attaching .done")).to_have_count(1)
    await bob.page.get_by_role("button", name="Send", exact=True).click()
    video = ann.page.locator("video[aria-label='waves.webm']")
    await expect(video).to_be_visible()
    assert await video.evaluate(PLAY) == [64, 48]


async def test_a_file_that_is_not_taken_says_why(person: Arrive) -> None:
    _, bob = await conversation(person)
    refused = bob.page.locator(".toast.bad")
    await choose(bob, {"name": "page.png", "mimeType": "image/png", "buffer": b"<script>alert(1)</script>"})
    await expect(refused.filter(has_text="page.png: ")).to_be_visible()
    await choose(bob, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"words"})
    await expect(refused.filter(has_text="notes.txt: pictures (JPEG")).to_be_visible()
    await choose(bob, {"name": "big.png", "mimeType": "image/png", "buffer": bytes(6_000_000)})
    await expect(refused.filter(has_text="big.png: ")).to_be_visible()
    await expect(bob.page.locator(".attaching")).to_be_hidden()
    await expect(bob.page.get_by_role("button", name="Send", exact=True)).to_be_disabled()


async def test_ones_picture_is_seen_by_the_other_and_can_be_taken_away(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.settings("Profile")
    page = bob.page

    async def put(name: str, content: bytes) -> None:
        async with page.expect_file_chooser() as choosing:
            await page.get_by_role("button", name="Choose a").click()
        await (await choosing.value).set_files([{"name": name, "mimeType": "image/png", "buffer": content}])

    await put("notes.png", b"words")
    await expect(page.get_by_text("This is no picture that the browser can read")).to_be_visible()
    await put("me.png", picture(1600, 900))
    mine = page.get_by_role("button", name="Choose another picture").locator("img")
    assert await mine.evaluate(SIZE) == [480, 480]
    await ann.page.reload()
    await ann.page.get_by_role("button", name="Bob Ray", exact=True).click()
    theirs = ann.page.get_by_role("dialog", name="Bob Ray").locator(".avatar.big img")
    assert await theirs.evaluate(SIZE) == [480, 480]
    await page.get_by_role("button", name="Remove the picture").click()
    await expect(page.get_by_role("button", name="Choose a picture")).to_be_visible()
    await ann.page.reload()
    await ann.page.get_by_role("button", name="Bob Ray", exact=True).click()
    await expect(ann.page.get_by_role("dialog", name="Bob Ray")).to_be_visible()
    await expect(theirs).to_have_count(0)


async def test_many_files_take_turns_and_one_that_waits_can_be_left_out(person: Arrive) -> None:
    _, bob = await conversation(person)
    page = bob.page
    under_way: asyncio.Queue[Any] = asyncio.Queue()
    await page.route("**/upload?*", lambda route: under_way.put_nowait(route))
    names = [f"{number}.png" for number in range(1, 8)]
    await choose(bob, *({"name": n, "mimeType": "image/png", "buffer": picture(40, 30)} for n in names))
    await expect(page.get_by_role("progressbar")).to_have_count(7)
    held = [await asyncio.wait_for(under_way.get(), 60) for _ in range(3)]
    # Whoever would come beside these has come by the time that other calls are answered.
    for _ in range(5):
        await bob.rest("GET", "/users/me")
    assert under_way.empty()
    await page.get_by_role("button", name="Leave out 7.png").click()
    await expect(page.get_by_role("progressbar")).to_have_count(6)
    for _ in range(3):
        await held.pop().continue_()
        held.insert(0, await asyncio.wait_for(under_way.get(), 60))
        assert under_way.empty()
    for route in held:
        await route.continue_()
    await expect(page.locator(".attaching .done")).to_have_count(6)
    assert under_way.empty()
    await expect(page.locator(".toast.bad")).to_have_count(0)


async def test_a_file_waits_and_says_so_while_other_uploads_of_the_same_person_are_under_way(
    person: Arrive, serving: Serving
) -> None:
    _, bob = await conversation(person)
    # As many as the server takes at once, of other tabs: their bytes are on their way, and do not come.
    others = [await _upload(bob, serving) for _ in range(4)]
    try:
        async with bob.page.expect_response(lambda response: response.status == 429) as refusing:
            await choose(bob, {"name": "lake.png", "mimeType": "image/png", "buffer": picture(40, 30)})
        assert int((await (await refusing.value).all_headers())["retry-after"]) > 0
        waiting = bob.page.get_by_role("list", name="To be sent").get_by_text("Waiting", exact=True)
        await expect(waiting).to_be_visible()
        await expect(bob.page.locator(".toast.bad")).to_have_count(0)
    finally:
        for other in others:
            other.close()
    await expect(bob.page.locator(".attaching .done")).to_have_count(1)
    await expect(waiting).to_have_count(0)
    await expect(bob.page.locator(".toast.bad")).to_have_count(0)


async def test_a_file_that_waits_can_be_left_out_and_one_that_may_not_come_again_says_why(
    person: Arrive,
) -> None:
    _, bob = await conversation(person)
    answers = [(429, {"Retry-After": "30"}), (429, {"Retry-After": "3600"}), (503, {})]
    asked: asyncio.Queue[str] = asyncio.Queue()

    async def refuse(route: Any) -> None:
        status, headers = answers.pop(0)
        asked.put_nowait(route.request.url)
        await route.fulfill(
            status=status, headers=headers, json={"code": "rate_limited", "detail": "Not now"}
        )

    await bob.page.route("**/upload?*", refuse)
    one = {"name": "lake.png", "mimeType": "image/png", "buffer": picture(40, 30)}
    await choose(bob, one)
    await expect(bob.page.get_by_text("Waiting", exact=True)).to_be_visible()
    async with bob.page.expect_request(lambda request: request.method == "DELETE"):
        await bob.page.get_by_role("button", name="Leave out lake.png").click()
    await expect(bob.page.locator(".attaching")).to_be_hidden()
    for count in (1, 2):
        await choose(bob, one)
        await expect(bob.page.locator(".toast.bad")).to_have_count(count)
        await expect(bob.page.locator(".attaching")).to_be_hidden()
    assert asked.qsize() == 3


async def _upload(person: Any, serving: Serving) -> asyncio.StreamWriter:
    """An upload of this person that has begun, and whose bytes do not come."""
    announced = {"type": "image", "content_type": "image/png", "file_name": "a.png", "size": 1000}
    made = await person.rest("POST", "/media", announced)
    link, server = urlsplit(made["upload_url"]), urlsplit(serving.url)
    head = [f"PUT {link.path}?{link.query} HTTP/1.1", f"Host: {server.netloc}", "Content-Length: 1000"]
    head += [f"{name}: {value}" for name, value in made["headers"].items()]
    ends: dict[asyncio.Task[bytes], asyncio.StreamWriter] = {}
    for _ in range(2):
        reader, writer = await asyncio.open_connection(server.hostname, server.port)
        writer.write("\r\n".join([*head, "", ""]).encode())
        ends[asyncio.create_task(reader.readline())] = writer
    # Of two that bring the same one is told that it is under way: the other has begun.
    (told,), (begun,) = await asyncio.wait(ends, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert b" 409 " in await told
    ends[told].close()
    begun.cancel()
    return ends[begun]


async def test_a_picture_that_is_not_for_everyone_is_seen_by_whom_it_is_for(person: Arrive) -> None:
    ann, bob = await conversation(person)
    await bob.rest("PATCH", "/privacy", {"profile": "shared_chats"})
    await bob.settings("Profile")
    async with bob.page.expect_file_chooser() as choosing:
        await bob.page.get_by_role("button", name="Choose a picture").click()
    whole = {"name": "me.png", "mimeType": "image/png", "buffer": picture(600, 600)}
    await (await choosing.value).set_files([whole])
    mine = bob.page.get_by_role("button", name="Choose another picture").locator("img")
    await expect(mine).to_have_js_property("naturalWidth", 480)
    await bob.rest("POST", "/chats", {"type": "group", "title": "Lake", "member_ids": [await ann.id()]})
    await ann.page.reload()
    await ann.page.get_by_role("button", name="Bob Ray", exact=True).click()
    theirs = ann.page.get_by_role("dialog", name="Bob Ray").locator(".avatar.big img")
    await expect(theirs).to_have_js_property("naturalWidth", 480)
