"""Structured logs on stderr: one JSON object a line, or plain lines where a person watches.

``setup`` once per process; then ``logging.getLogger("chatd…")`` as usual. What belongs to the request or
frame at hand comes from context variables (``bind``), what belongs to one line from ``extra``. Message
texts, passwords and tokens are never passed to a logger; ``_SECRET`` is the net under that rule.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from chatd.core.settings import Log

#: What is being worked on; every line logged meanwhile carries it. Replaced, never changed in place.
_context: ContextVar[dict[str, str] | None] = ContextVar("chatd_log_context", default=None)

_BUILT_IN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_SECRET: Final = re.compile(
    r"(?:^|_)(token|password|secret|authorization|cookie|api_key|text|content)$", re.IGNORECASE
)
# A JWT anywhere in a line: three dotted base64url parts, the first of which is {"… (RFC 7519).
_JWT: Final = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029]")
#: Libraries that say at INFO what we say ourselves, or nobody wants to know.
_NOISY: Final = ("asyncio", "aiohttp", "websockets", "redis", "asyncpg", "urllib3", "concurrent.futures")


def correlation_id() -> str:
    """The id of the request at hand; empty outside of one."""
    return (_context.get() or {}).get("correlation_id", "")


@contextmanager
def bind(**fields: str) -> Iterator[None]:
    """Add ``correlation_id``, ``user_id``, ``chat_id`` or ``connection_id`` to every line logged inside."""
    token = _context.set({**(_context.get() or {}), **{k: v for k, v in fields.items() if v}})
    try:
        yield
    finally:
        _context.reset(token)


def learn(**fields: str) -> None:
    """As ``bind``, for what is found out on the way: until the surrounding ``bind`` ends."""
    _context.set({**(_context.get() or {}), **{k: v for k, v in fields.items() if v}})


def setup(settings: Log, *, worker: str = "", stream: TextIO | None = None) -> None:
    """Send all logs to ``stream`` (stderr) in the set format and level; replaces an earlier setup."""
    out = stream or sys.stderr
    json = settings.format == "json" or (settings.format == "auto" and not out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter(worker) if json else ConsoleFormatter(worker))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "chatd", False):
            root.removeHandler(old)
    handler.chatd = True  # type: ignore[attr-defined]  # marks ours, so that a test's own handlers stay
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    quiet = logging.INFO if settings.level == "debug" else logging.WARNING
    for name in _NOISY:
        logging.getLogger(name).setLevel(quiet)
    # Of an outage it warns with a traceback every second; chatd.db says in a line what is the matter.
    logging.getLogger("asyncpg.pool").setLevel(logging.INFO if settings.level == "debug" else logging.ERROR)
    logging.captureWarnings(True)


def fields_of(record: logging.LogRecord, worker: str) -> dict[str, Any]:
    """Everything a line says, in the order it is written."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _redact(record.getMessage()),
    }
    fields.update(_context.get() or {})
    for name, value in record.__dict__.items():
        if name not in _BUILT_IN:
            fields[name] = "[redacted]" if _SECRET.search(name) else _redacted(value)
    if worker:
        fields["worker"] = worker
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = _redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    if record.stack_info:
        fields["stack"] = record.stack_info
    return fields


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record, self.worker)
        options = orjson.OPT_NON_STR_KEYS
        try:
            return orjson.dumps(fields, default=repr, option=options).decode()
        except (orjson.JSONEncodeError, UnicodeEncodeError):  # lone surrogates: orjson wants real UTF-8
            plain = {name: _ascii(value) for name, value in fields.items()}
            return orjson.dumps(plain, option=options).decode()


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, logger, message, then the rest as key=value, then the traceback."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record, self.worker)
        clock = fields.pop("time")[11:23]
        exception = fields.pop("exception", "")
        head = f"{clock} {fields.pop('level'):7} {fields.pop('logger')}: {_one_line(fields.pop('message'))}"
        rest = "".join(f" {name}={_one_line(str(value))}" for name, value in fields.items())
        # What a client sent must not forge a line of its own, nor steer the terminal.
        return _ascii_safe(f"{head}{rest}" + (f"{os.linesep}{exception}" if exception else ""))


def _redacted(value: Any) -> Any:
    return _redact(value) if isinstance(value, str) else value


def _redact(text: str) -> str:
    return _JWT.sub("[token]", text) if "eyJ" in text else text


def _one_line(text: str) -> str:
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


def _ascii_safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _ascii(value: Any) -> Any:
    return str(value).encode("ascii", "backslashreplace").decode("ascii")
