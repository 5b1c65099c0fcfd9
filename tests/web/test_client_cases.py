"""chatd.js against a server that says what a test tells it to: close codes, gaps, retries, tabs, clocks."""

import asyncio
import re
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.ops.serving import ROOT
from tests.web.test_reference_client import NODE

CASES = Path(__file__).with_name("client_cases.mjs")
CLIENT = ROOT / "chatd" / "web" / "chatd.js"


def names() -> list[str]:
    """What node says that there is to test; the loops over codes are its own."""
    text = CASES.read_text("utf-8")
    found = re.findall(r'^test\("(.+)", async', text, re.MULTILINE)
    for codes, name in re.findall(
        r"^for \(const code of \[(.+)\]\) \{\n  test\(`\$\{code\}(.+)`, async", text, re.M
    ):
        found += [f"{code.strip(chr(34) + ' ')}{name}" for code in codes.split(",")]
    return found


@pytest.mark.parametrize("name", names())
async def test_the_reference_client(name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(NODE), str(CASES), str(CLIENT), name, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(120):
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


def test_every_close_code_of_the_contract_has_a_case() -> None:
    codes = {int(name[:4]) for name in names() if name[:4].isdigit()}
    assert codes >= {1001, 4400, 4401, 4403, 4408, 4413, 4429, 4503, 4508}
