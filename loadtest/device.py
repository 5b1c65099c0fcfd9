"""A blocking client of chatd's socket, for programs of threads; under locust these are greenlets.

It is plainer than ``loadtest.client``: it does not come back by itself, so that its user decides when.
"""

import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from loadtest.audit import LogBook, SharedDecoder
from loadtest.link import ABNORMAL, Closed, Frame
from loadtest.rest import ChatdError, NoAnswer, Refused, Unreachable

TIMEOUT_S = 15.0
_OPTIONS: dict[str, Any] = {"compression": None, "proxy": None, "close_timeout": 2, "max_size": 2**24}


class Device:
    """One device of one user. ``on_frame`` hears, on the reading thread, every frame and if it is live.

    What a resume replays is not live: when it was sent says nothing of how fast it came.
    """

    def __init__(
        self,
        url: str,
        *,
        on_frame: Callable[[Frame, bool], None] | None = None,
        decode: Callable[[bytes], Frame] | None = None,
    ) -> None:
        self.book = LogBook()
        self.ready: Frame = {}
        self.ended: ChatdError | None = None
        """Why the last socket is gone."""
        self._url = url
        self._on_frame = on_frame
        self._decode = decode or SharedDecoder()
        self._device_id = str(uuid.uuid4())
        self._ws: ClientConnection | None = None
        self._live = False
        self._opened = threading.Event()
        self._reader: threading.Thread | None = None
        self._number = 0
        self._replies: dict[str, _Reply] = {}

    @property
    def up(self) -> bool:
        return self._ws is not None

    def open(self, token: str, timeout_s: float = TIMEOUT_S) -> None:
        """Connect, and catch up on what was missed. Raises Closed, Unreachable, NoAnswer."""
        self.close()
        self._opened.clear()
        self.ended = None
        self._reader = threading.Thread(target=self._read, args=(token, timeout_s), daemon=True)
        self._reader.start()
        if not self._opened.wait(2 * timeout_s):
            self.drop()
            raise NoAnswer("the socket did not open in time")
        if self.ended:
            raise self.ended

    def request(self, type_: str, *, timeout_s: float = TIMEOUT_S, **fields: Any) -> Frame:
        """A command and the frame that answers it. Raises Refused, Closed, NoAnswer."""
        ws = self._ws
        if ws is None:
            raise Closed(ABNORMAL, "there is no socket")
        self._number += 1
        key = str(self._number)
        reply = self._replies[key] = _Reply()
        try:
            ws.send(orjson.dumps({"type": type_, "id": key, **fields}), text=True)
            return reply.wait(timeout_s)
        except ConnectionClosed as closed:
            raise _closed(closed) from None
        finally:
            self._replies.pop(key, None)

    def drop(self) -> None:
        """Lose the connection without a word, as in a tunnel."""
        if (ws := self._ws) is not None:
            with suppress(OSError):
                ws.socket.shutdown(socket.SHUT_RDWR)
            self._join()

    def close(self) -> None:
        """Say goodbye, if there is a socket."""
        if (ws := self._ws) is not None:
            ws.close()
        self._join()

    def _join(self) -> None:
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(TIMEOUT_S)

    def _read(self, token: str, timeout_s: float) -> None:
        """The reading thread, from the first byte to the last."""
        ended: ChatdError = Closed(ABNORMAL)
        try:
            with connect(
                self._url,
                compression=None,
                proxy=None,
                open_timeout=timeout_s,
                close_timeout=2,
                max_size=2**24,
            ) as ws:
                self._introduce(ws, token, timeout_s)
                while True:
                    self._take(self._decode(ws.recv(decode=False)))
        except ConnectionClosed as closed:
            ended = _closed(closed)
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            ended = Unreachable(f"{self._url}: {error}")
        except Exception as error:
            # A server that does not keep to the protocol: whoever waits for this device must hear of it.
            ended = ChatdError(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._ws = None
            self.ended = ended
            for reply in list(self._replies.values()):
                reply.give(ended)
            self._opened.set()

    def _introduce(self, ws: ClientConnection, token: str, timeout_s: float) -> None:
        since = self.book.since()
        init: Frame = {"type": "connection.init", "client": "locust", "device_id": self._device_id}
        ws.send(orjson.dumps({**init, "token": token, **({"since": since} if since else {})}), text=True)
        deadline = time.monotonic() + timeout_s
        while (frame := self._decode(ws.recv(deadline - time.monotonic(), decode=False)))["type"] != (
            "connection.ready"
        ):
            self._show(frame)
        self.book.open(frame)
        self.ready = frame
        self._ws = ws
        self._live = not since
        if self._live:
            self._opened.set()
        self._show(frame)

    def _take(self, frame: Frame) -> None:
        self.book.take(frame)
        if frame["type"] == "sync.complete" and "chat_id" not in frame:
            self._live = True
            self._opened.set()
        if reply := self._replies.get(frame.get("re", "")):
            reply.give(_refusal(frame) if frame["type"] == "error" else frame)
        self._show(frame)

    def _show(self, frame: Frame) -> None:
        if self._on_frame:
            self._on_frame(frame, self._live)


class _Reply:
    """What one command waits for: a frame, or why there will be none."""

    __slots__ = ("_given", "_there")

    def __init__(self) -> None:
        self._there = threading.Event()
        self._given: Frame | ChatdError = {}

    def give(self, what: Frame | ChatdError) -> None:
        self._given = what
        self._there.set()

    def wait(self, timeout_s: float) -> Frame:
        if not self._there.wait(timeout_s):
            raise NoAnswer(f"no answer within {timeout_s:.0f} s")
        if isinstance(self._given, ChatdError):
            raise self._given
        return self._given


def _refusal(frame: Frame) -> Refused:
    return Refused(frame["code"], frame["message"], frame.get("retry_after_ms", 1000) / 1000)


def _closed(closed: ConnectionClosed) -> Closed:
    return Closed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closed(ABNORMAL)
