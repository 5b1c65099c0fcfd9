"""chatd.js under Node: the log without holes or repeats, whatever happens to the connection."""

import asyncio
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import orjson
import playwright

from tests.ops.serving import ROOT, Serving
from tests.web.wire import Wire

#: The Node that playwright brings: tests need none of the machine's.
NODE = Path(playwright.__file__).parent / "driver" / "node"


async def talk(url: str, count: int) -> Process:
    script, client = Path(__file__).with_name("talk.mjs"), ROOT / "chatd" / "web" / "chatd.js"
    return await asyncio.create_subprocess_exec(
        str(NODE), str(script), str(client), url, str(count), stdout=PIPE, stderr=PIPE
    )


async def said(process: Process, word: str) -> None:
    """Wait for a line of it."""
    assert process.stdout is not None
    async with asyncio.timeout(120):
        line = (await process.stdout.readline()).decode().strip()
    if line != word:
        _, errors = await process.communicate()
        raise AssertionError(f"{line!r} rather than {word!r}:\n{errors.decode()}")


async def test_two_clients_see_one_log_over_a_quiet_wire(serving: Serving) -> None:
    process = await talk(serving.url, 20)
    for word in ("connected", "sent", "done"):
        await said(process, word)
    assert await process.wait() == 0


async def test_two_clients_see_one_log_over_a_wire_that_is_pulled_again_and_again(wire: Wire) -> None:
    process = await talk(wire.url, 60)
    await said(process, "connected")
    sent = asyncio.create_task(said(process, "sent"))
    for _ in range(4):
        # Not a wait for something: what is cut, and when, is left to chance.
        await asyncio.wait([sent], timeout=0.4)
        await wire.pull()
        await asyncio.wait([sent], timeout=0.3)
        await wire.plug_in()
    await sent
    await said(process, "done")
    assert await process.wait() == 0


async def test_the_example_of_the_documents_runs_as_it_stands(serving: Serving, tmp_path: Path) -> None:
    _, _, rest = (
        (ROOT / "docs" / "web.md").read_text("utf-8").partition("<!-- test: reference client -->\n```js\n")
    )
    example, _, _ = rest.partition("```")
    # The host is the reader's to fill in; Node imports files, not addresses.
    email = f"{tmp_path.name}@example.com"
    there = example.replace("https://your.host/chatd.js", (ROOT / "chatd" / "web" / "chatd.js").as_uri())
    there = there.replace("https://your.host", serving.url).replace("ann@example.com", email)
    for number, address in enumerate((email, f"other-{email}")):
        account = {"email": address, "password": "correct horse", "display_name": f"Ann {number}"}
        status, answer = serving.ask("POST", "/api/users", account)
        assert status == 201
        other = orjson.loads(answer)["id"]
    login = serving.ask("POST", "/api/auth/login", {"email": email, "password": "correct horse"})
    token = orjson.loads(login[1])["access_token"]
    chat = {"type": "direct", "member_ids": [other]}
    assert serving.ask("POST", "/api/chats", chat, Authorization=f"Bearer {token}")[0] == 201
    script = tmp_path / "example.mjs"
    script.write_text(there, "utf-8")
    process = await asyncio.create_subprocess_exec(str(NODE), str(script), stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    heard = []
    try:
        async with asyncio.timeout(120):
            while "1: Hello" not in heard:
                heard.append((await process.stdout.readline()).decode().strip())
                assert heard[-1], (await process.communicate())[1].decode()
    finally:
        process.kill()
        await process.wait()
    assert [line.split()[0] for line in heard] == ["connecting", "open", "1:"]
