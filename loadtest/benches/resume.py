"""Clients of the storm: they know where they stand in each chat, come back with ``since``, and check that
nothing is missing and nothing comes twice.
"""

from typing import Any

import msgspec

from loadtest.benches.lean import Parser


class _Event(msgspec.Struct):
    type: str
    chat_id: str = ""
    seq: int = 0
    head_seq: int = 0
    chats: list[dict[str, Any]] = []


_event = msgspec.json.Decoder(_Event).decode


class Resumer(Parser):
    """Follows the seq of every chat through ready, replay and live. ``wrong`` counts what did not follow."""

    def __init__(self, token: str, since: dict[str, int] | None = None, **more: Any) -> None:
        super().__init__(token, since, **more)
        self.seqs: dict[str, int] = dict(since or {})
        self.got = self.replayed = self.wrong = 0

    def payload(self, payload: bytes) -> None:
        self._take(payload, live=False)

    def text(self, data: bytes | bytearray, begin: int, end: int) -> None:
        self._take(bytes(data[begin:end]), live=True)

    def _take(self, payload: bytes, *, live: bool) -> None:
        event = _event(payload)
        if event.type == "message.new":
            if event.seq != self.seqs.get(event.chat_id, -1) + 1:
                self.wrong += 1
            self.seqs[event.chat_id] = event.seq
            self.got += live
            self.replayed += not live
        elif event.type == "connection.ready" and self.since is None:
            self.seqs = {chat["chat_id"]: chat["head_seq"] for chat in event.chats}
        elif event.type in ("error", "chat.reset"):
            self.wrong += 1

    def state(self) -> dict[str, Any]:
        """For another process to go on from."""
        return {"token": self.token, "since": self.seqs, "wrong": self.wrong, "replayed": self.replayed}
