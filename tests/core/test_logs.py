"""What a line of the log says, and what it must never say."""

import io
import json
import logging

import pytest

from chatd.core import logs
from chatd.core.settings import Log

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJl"


@pytest.fixture
def lines():
    root, before = logging.getLogger(), logging.getLogger().level
    out = io.StringIO()
    logs.setup(Log(level="debug", format="json"), worker="2", stream=out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.setLevel(before)
    for handler in root.handlers[:]:
        if getattr(handler, "chatd", False):
            root.removeHandler(handler)


log = logging.getLogger("chatd.test")


def test_a_line_is_one_json_object_with_the_worker_and_what_was_bound(lines):
    with logs.bind(correlation_id="c1", user_id="usr_1"):
        logs.learn(chat_id="cht_1")
        log.info("joined %s", "it", extra={"ms": 3})
    log.info("after")
    first, second = lines()
    assert first["time"].endswith("Z")
    assert {k: v for k, v in first.items() if k != "time"} == {
        "level": "info",
        "logger": "chatd.test",
        "message": "joined it",
        "correlation_id": "c1",
        "user_id": "usr_1",
        "chat_id": "cht_1",
        "ms": 3,
        "worker": "2",
    }
    assert "correlation_id" not in second


def test_an_exception_keeps_its_traceback_and_loses_the_token_in_it(lines):
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        log.exception("refused %s", JWT)
    (line,) = lines()
    assert "Traceback" in line["exception"]
    assert "[token]" in line["exception"]
    assert "[token]" in line["message"]
    assert JWT not in json.dumps(line)


def test_fields_named_like_secrets_or_message_texts_are_not_written(lines):
    log.info("x", extra={"access_token": "a", "password": "b", "text": "c", "context": "fine"})
    (line,) = lines()
    assert [line[k] for k in ("access_token", "password", "text", "context")] == ["[redacted]"] * 3 + ["fine"]


def test_a_lone_surrogate_or_an_odd_object_does_not_stop_the_log():
    # Not through a logger: pytest would keep the record, and could not send it to its other process.
    record = logging.makeLogRecord(
        {"msg": "path %s", "args": ("\udcff",), "name": "chatd", "thing": object, "set": {1}}
    )
    line = json.loads(logs.JsonFormatter("").format(record))
    assert line["message"] == "path \\udcff"


def test_a_client_cannot_forge_a_line_on_the_console():
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.ConsoleFormatter())
    handler.handle(
        logging.makeLogRecord({"msg": "name\nERROR forged\x1b[31m", "name": "chatd", "levelname": "INFO"})
    )
    assert out.getvalue().count("\n") == 1
    assert "\\nERROR forged\\x1b[31m" in out.getvalue()
