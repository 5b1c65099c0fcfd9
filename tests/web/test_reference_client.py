"""chatd.js under Node: the log without holes or repeats, whatever happens to the connection."""

import asyncio
from asyncio.subprocess import PIPE, Process
from pathlib import Path

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
    async with asyncio.timeout(60):
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
