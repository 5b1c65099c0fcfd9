"""A worker's end as the one who reads its log meets it."""

import json
import os
import subprocess
import sys

import msgspec
import pytest

from chatd.core.settings import Settings
from chatd.supervisor.process import Start
from tests.ops.serving import environment
from tests.waiting import PATIENCE_S

WORKER = """
import sys
from chatd.core import logs
from chatd.core.settings import Log, SettingsError
from chatd.supervisor.process import work

async def serve(settings, *, worker, port, ready):
    logs.setup(Log(format="json"), worker=str(worker))
    if {comes_up}:
        ready()
    raise {error}

sys.exit(work(serve))
"""


def work(error: str, *, comes_up: bool) -> tuple[int, str, str]:
    """(exit code, what the supervisor hears, what is logged)."""
    reader, writer = os.pipe()
    start = Start(settings=Settings(), worker=1, port=0, ready_fd=writer)
    with subprocess.Popen(
        [sys.executable, "-c", WORKER.format(error=error, comes_up=comes_up)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(writer,),
        env=environment({}),
    ) as process:
        os.close(writer)
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(msgspec.json.encode(start) + b"\n")
        process.stdin.flush()  # and stays open: its end would say that the supervisor is gone
        logged = process.stderr.read().decode()
        code = process.wait(PATIENCE_S)
    with os.fdopen(reader) as reports:
        return code, reports.read(), logged


def test_a_defect_that_ends_it_is_one_line_of_json_with_the_traceback() -> None:
    code, heard, logged = work("ZeroDivisionError('two\\nlines')", comes_up=True)
    assert (code, heard) == (1, "ready\n")
    (line,) = [json.loads(line) for line in logged.splitlines()]
    assert line["worker"] == "1"
    assert "Traceback" in line["exception"]
    assert "two\nlines" in line["exception"]


@pytest.mark.parametrize("error", ["OSError('no room')", "SettingsError('no room')"])
def test_what_an_operator_can_mend_has_no_traceback(
    error: str,
) -> None:
    assert work(error, comes_up=False) == (1, "failed: no room\n", "")
    code, heard, logged = work(error, comes_up=True)
    assert (code, heard) == (1, "ready\n")
    (line,) = [json.loads(line) for line in logged.splitlines()]
    assert "no room" in line["message"]
    assert "exception" not in line
