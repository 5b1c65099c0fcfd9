"""Virtual users: they talk, edit, delete, react, read, type, vanish, come back, and write down all of it."""

import asyncio
import random
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from loadtest.audit import SharedDecoder
from loadtest.chaos.records import Deed, Frame, Records, Send, SocketRecord, Violation
from loadtest.client import Client
from loadtest.outbox import RETRYABLE
from loadtest.rest import Account, ChatdError, NoAnswer, Refused, Unreachable

EMOJI = ("👍", "🎉", "😀")
#: A message takes this long to get through at most, whatever strikes.
PATIENCE_S = 90.0
#: How far back a device pretends to have seen nothing, when it resumes from an old place.
STEPS_BACK = (0, 0, 0, 5, 60, 400)
_WATCH = "the watch list"


class Device(Client):
    """A client that writes down every socket and every frame, and now and then resumes from an old place."""

    def __init__(
        self,
        name: str,
        account: Account,
        urls: Sequence[str],
        *,
        records: Records,
        rng: random.Random,
        proxied: bool,
        scope: str | None = None,
        **options: Any,
    ) -> None:
        path = f"/chats/{scope}" if scope else "/ws"
        super().__init__(account, urls, path=path, ack_timeout_s=8.0, patience_s=PATIENCE_S, **options)
        self.name, self.scope = name, scope
        self.watching: list[str] = []
        #: user -> the status last shown to this device.
        self.shown: dict[str, str] = {}
        self._records, self._proxied = records, proxied
        self._record: SocketRecord | None = None
        self._rng = rng
        self._asked: dict[str, int] = {}

    @property
    def synced(self) -> bool:
        """There is a socket, and its replay is through."""
        return self._record is not None and self._record.synced_at is not None

    def greeting(self) -> Frame:
        init = super().greeting()
        back = self._rng.choice(STEPS_BACK)
        self._asked = {chat_id: max(0, seq - back) for chat_id, seq in init.get("since", {}).items()}
        return {**init, "since": self._asked}

    def connected(self, ready: Frame) -> None:
        self._record = SocketRecord(
            self.name,
            self.account.user_id,
            self.link.urls[0],
            self._asked,
            ready,
            time.monotonic(),
            proxied=self._proxied,
            scope=self.scope,
        )
        self._records.sockets.append(self._record)
        super().connected(ready)
        self._watch()

    def _watch(self) -> None:
        if self.watching:
            self.tell("presence.watch", id=_WATCH, user_ids=self.watching)

    def take(self, frame: Frame) -> None:
        at = time.monotonic()
        if self._record is not None:
            self._record.frames.append((at, frame))
            if frame["type"] == "sync.complete" and "chat_id" not in frame:
                self._record.synced_at = at
        match frame["type"]:
            case "presence.state":
                self.shown |= {user["user_id"]: user["status"] for user in frame["users"]}
            case "presence.update":
                self.shown[frame["user_id"]] = frame["status"]
            case "error" if frame["code"] == "internal":
                self._records.defects.append(Violation("defect", at, f"{self.name} was answered {frame}"))
            case "error" if frame.get("re") == _WATCH:
                self._loop.call_later(0.5, self._watch)  # PostgreSQL is away
        super().take(frame)

    def disconnected(self) -> None:
        if self._record is not None:
            self._record.closed_at = time.monotonic()
            self._record = None
        super().disconnected()

    def leave_for(self, seconds: float) -> None:
        """Vanish without a word, and come back after so long."""
        self.link.reconnect_after_s = seconds
        self.drop()


@dataclass
class Crowd:
    """What all people share."""

    records: Records
    urls: Sequence[str]
    proxied_urls: Sequence[str]
    rng: random.Random
    decode: SharedDecoder = field(default_factory=lambda: SharedDecoder(8192))
    #: chat -> (message id, sender) that somebody may want to do something to.
    recent: dict[str, deque[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=150))
    )
    people: list["Person"] = field(default_factory=list)
    #: They say nothing, and are let into a chat and out again all the time.
    guests: list["Person"] = field(default_factory=list)

    @property
    def devices(self) -> list[Device]:
        """Everybody's."""
        return [device for person in (*self.people, *self.guests) for device in person.devices]


class Person:
    """One user with some devices, who acts ``per_s`` times a second until told to stop."""

    def __init__(self, crowd: Crowd, account: Account, name: str, chats: Sequence[str], per_s: float) -> None:
        self.crowd, self.account, self.name = crowd, account, name
        self.chats, self.per_s = list(chats), per_s
        self.devices: list[Device] = []
        self.rng = random.Random(f"{crowd.rng.random()}")
        self._writing: set[asyncio.Task[None]] = set()
        self._acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._say, 60),
            (self._edit, 8),
            (self._delete, 3),
            (self._react, 10),
            (self._read, 10),
            (self._type, 5),
            (self._vanish, 1),
        ]

    async def equip(self, count: int, proxied: int, watched: Sequence[str], scope: str | None = None) -> None:
        """Take up so many devices, some of them behind proxies, each on a node of its own at first."""
        for index in range(len(self.devices), len(self.devices) + count):
            far = index < proxied
            urls = list(self.crowd.proxied_urls if far else self.crowd.urls)
            self.rng.shuffle(urls)
            device = Device(
                f"{self.name}.{index}",
                self.account,
                urls,
                records=self.crowd.records,
                rng=random.Random(self.rng.random()),
                proxied=far,
                scope=scope,
                since=dict.fromkeys([scope] if scope else self.chats, 0),
                decode=self.crowd.decode,
            )
            device.watching = list(watched)
            self.devices.append(device)
            await device.start()

    def devices_in(self, chat_id: str) -> list[Device]:
        """Those that may speak in a chat."""
        return [device for device in self.devices if device.scope in (None, chat_id)]

    async def live(self) -> None:
        """Act until cancelled; at most ten things at a time."""
        acts, weights = [act for act, _ in self._acts], [weight for _, weight in self._acts]
        while True:
            await asyncio.sleep(self.rng.expovariate(self.per_s))
            if len(self._writing) < 10:
                self.start(self.rng.choices(acts, weights)[0]())

    def start(self, act: Awaitable[None]) -> None:
        """Do something on the side; ``settle`` waits for it."""
        task = asyncio.ensure_future(self._safely(act))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def host(self, guest: "Person", chat_id: str) -> None:
        """Let a guest in and out of a chat of mine until cancelled."""
        inside = False
        while True:
            await asyncio.sleep(self.rng.uniform(0.3, 4.0))
            try:
                await (self.turn_out(guest, chat_id) if inside else self.let_in(guest, chat_id))
                inside = not inside
            except ChatdError:
                continue  # who knows; to do it again changes nothing

    async def let_in(self, guest: "Person", chat_id: str) -> None:
        await self.call("POST", f"/chats/{chat_id}/members", {"user_ids": [guest.account.user_id]})

    async def turn_out(self, guest: "Person", chat_id: str) -> None:
        try:
            await self.call("DELETE", f"/chats/{chat_id}/members/{guest.account.user_id}")
        except Refused as error:
            if _may_pass(error):
                raise

    async def settle(self, timeout_s: float) -> int:
        """Wait for what is under way; how much of it did not end."""
        if not self._writing:
            return 0
        _, late = await asyncio.wait(self._writing, timeout=timeout_s)
        return len(late)

    async def close(self) -> None:
        for task in list(self._writing):
            task.cancel()
        await asyncio.gather(*(device.close() for device in self.devices))

    async def _safely(self, act: Awaitable[None]) -> None:
        try:
            await act
        except Exception as error:
            what = f"{self.name}: {type(error).__name__}: {error}"
            self.crowd.records.defects.append(Violation("defect", time.monotonic(), what))

    # ------------------------------------------------------------------------------------------- sending

    async def _say(self) -> None:
        long = self.rng.random() < 0.05
        text = f"{self.name} says {uuid.uuid4()} " + "x" * self.rng.randint(0, 3800 if long else 80)
        await self.say(self.rng.choice(self.chats), text)

    async def say(self, chat_id: str, text: str) -> Send:
        """Send a message over a socket or REST, again until it is acked; the records say what came of it."""
        key = str(uuid.uuid4())
        send = Send(chat_id, self.account.user_id, key, text, time.monotonic())
        self.crowd.records.sends[key] = send
        try:
            if self.rng.random() < 0.15:
                seq, message_id = await self._post(chat_id, key, text)
            else:
                device = self.rng.choice(self.devices_in(chat_id))
                ack = await device.send(chat_id, text, client_message_id=key, timeout_s=PATIENCE_S)
                seq, message_id = ack.seq, ack.message_id
        except Refused as error:
            send.refused = error.code
            raise
        send.seq, send.message_id, send.acked_at = seq, message_id, time.monotonic()
        self.crowd.recent[chat_id].append((message_id, self.account.user_id))
        return send

    async def _post(self, chat_id: str, key: str, text: str) -> tuple[int, str]:
        """By REST, on whichever node answers."""
        body = {"client_message_id": key, "content": {"type": "text", "text": text}}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self.call("POST", f"/chats/{chat_id}/messages", body)
                return answer["seq"], answer["message_id"]
            except (Refused, NoAnswer, Unreachable) as error:
                if not _may_pass(error) or time.monotonic() > deadline:
                    raise
            api = self.account.api
            api.urls.append(api.urls.pop(0))  # the retry goes to another node
            await asyncio.sleep(self.rng.uniform(0.2, 0.6))

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """A REST call as this user."""
        return await self.account.api.call(
            method, path, body, token=await self.account.token(), query=query or None
        )

    # --------------------------------------------------------------------------------------------- deeds

    async def _edit(self) -> None:
        if found := self._pick(own=True):
            text = f"{self.name} edits {uuid.uuid4()}"
            content = {"type": "text", "text": text}
            await self._do("edit", *found, text, "message.edit", {"content": content})

    async def _delete(self) -> None:
        if found := self._pick(own=True):
            await self._do("delete", *found, "", "message.delete", {})

    async def _react(self) -> None:
        if found := self._pick(own=False):
            emoji = self.rng.choice(EMOJI)
            kind, command = self.rng.choice((("react", "reaction.add"), ("unreact", "reaction.remove")))
            await self._do(kind, *found, emoji, command, {"emoji": emoji})

    async def _read(self) -> None:
        if found := self._pick(own=False):
            chat_id, message_id = found
            await self._do(
                "read", chat_id, message_id, "", "delivery.read", {"last_read_message_id": message_id}
            )
            device = self.rng.choice(self.devices_in(chat_id))
            device.tell("delivery.received", chat_id=chat_id, message_id=message_id)

    def _pick(self, *, own: bool) -> tuple[str, str] | None:
        chat_id = self.rng.choice(self.chats)
        fit = [m for m, sender in self.crowd.recent[chat_id] if not own or sender == self.account.user_id]
        return (chat_id, self.rng.choice(fit)) if fit else None

    async def _do(
        self, kind: str, chat_id: str, message_id: str, value: str, command: str, fields: Frame
    ) -> None:
        """One try; where no answer comes, nobody knows. One at a time for each message of mine, so that
        "the last one" means something.
        """
        deed = Deed(kind, chat_id, self.account.user_id, message_id, value, time.monotonic())
        busy = [d for d in self.crowd.records.deeds[-200:] if self._same(d, deed)]
        if busy:
            return
        self.crowd.records.deeds.append(deed)
        deed.done = None
        if kind != "read":
            fields = {**fields, "message_id": message_id}
        try:
            if self.rng.random() < 0.25:
                await self._by_rest(deed, fields)
            else:
                there = self.devices_in(chat_id)
                device = self.rng.choice([d for d in there if d.link.up] or there)
                await device.command(command, chat_id=chat_id, **fields)
            deed.done = True
        except Refused as error:
            if not _may_pass(error):
                deed.done = False
        except ChatdError:
            pass  # the socket went before the answer

    async def _by_rest(self, deed: Deed, fields: Frame) -> None:
        path = f"/chats/{deed.chat_id}"
        message = f"{path}/messages/{deed.message_id}"
        match deed.kind:
            case "edit":
                await self.call("PATCH", message, {"content": fields["content"]})
            case "delete":
                await self.call("DELETE", message)
            case "read":
                await self.call("POST", f"{path}/read", {"last_read_message_id": deed.message_id})
            case kind:
                method = "PUT" if kind == "react" else "DELETE"
                await self.call(method, f"{message}/reactions/{quote(deed.value)}")

    def _same(self, one: Deed, other: Deed) -> bool:
        """Whether two deeds would race: nobody could say which of them was last."""
        recent = other.at - one.at < PATIENCE_S / 3
        return (
            recent
            and one.done is None
            and one.user_id == other.user_id
            and one.message_id == other.message_id
        )

    # ----------------------------------------------------------------------------------------- ephemeral

    async def _type(self) -> None:
        chat_id = self.rng.choice(self.chats)
        device = self.rng.choice(self.devices_in(chat_id))
        device.tell("typing.start", chat_id=chat_id)
        if self.rng.random() < 0.7:
            await asyncio.sleep(self.rng.uniform(0.3, 3.0))
            device.tell("typing.stop", chat_id=chat_id)

    async def _vanish(self) -> None:
        self.rng.choice(self.devices).leave_for(self.rng.choice((0.0, 0.1, 1.0, 3.0)))


def _may_pass(error: ChatdError) -> bool:
    return not isinstance(error, Refused) or error.code in RETRYABLE or error.code.startswith("http_5")
