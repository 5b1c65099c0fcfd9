"""A short run of every fault (loadtest.chaos); ``make chaos`` is the long one."""

import asyncio
import sys
from pathlib import Path

import pytest

from loadtest.chaos.faults import FAULTS

ROOT = Path(__file__).parents[2]


# Two runs, so that they can be worked on side by side.
@pytest.mark.timeout(170)
@pytest.mark.parametrize("half", [0, 1])
async def test_nothing_is_lost_doubled_or_swapped_whatever_breaks(half: int) -> None:
    faults = ",".join(list(FAULTS)[half::2])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.chaos", "--brief", "--seed", str(half + 1), "--faults", faults),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(150):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode == 0, said.decode()
