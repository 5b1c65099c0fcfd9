"""What the gateway asks of the features (gateway.ports.Backend), answered by the rooms."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import structs

from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Batch
from chatd.core.pending import Pending
from chatd.features.accounts import service as accounts
from chatd.features.accounts import tokens
from chatd.features.chats import service as chats
from chatd.features.chats.contract import ChatJoined, ChatLeft, ChatState, ChatUpdated, HeadsAsk
from chatd.features.messages import reading
from chatd.features.presence.contract import PresenceUpdate, TypingStarted, TypingStopped
from chatd.gateway.ports import Joined, Want
from chatd.wire import codec
from chatd.wire.frames import ChatHead


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A socket that wants to open."""

    actor: Actor
    chat_id: str | None


async def _open(ctx: Ctx, arrivals: list[_Arrival]) -> Sequence[list[ChatHead] | Exception]:
    """Two statements for all sockets that open at once: their sessions, and their chats."""
    states = await accounts.session_states(
        ctx.db, {a.actor.session_id for a in arrivals}, now=ctx.clock.now()
    )
    refusals = [accounts.session_refusal(states[a.actor.session_id]) for a in arrivals]
    live = [a for a, refusal in zip(arrivals, refusals, strict=True) if refusal is None]
    asks = [HeadsAsk(a.actor.user_id, a.chat_id) for a in live]
    found = iter(await chats.HEADS.run(ctx, asks) if asks else ())
    return [refusal if refusal is not None else _answer(next(found)) for refusal in refusals]


def _answer(states: list[ChatState] | Exception) -> list[ChatHead] | Exception:
    if isinstance(states, Exception):
        return states
    return [
        ChatHead(
            chat_id=s.chat_id,
            type=s.type,
            title=s.title,
            head_seq=s.head_seq,
            last_read_seq=s.last_read_seq,
            unread_count=s.unread_count,
        )
        for s in states
    ]


OPEN: Batch[_Arrival, list[ChatHead]] = Batch("open", _open, max_batch=200)


class RoomsBackend:
    """The rooms, as a socket sees them."""

    def __init__(self, ctx: Ctx) -> None:
        self._ctx = ctx

    def use(self, ctx: Ctx) -> None:
        """The whole context, once the broker stands."""
        self._ctx = ctx

    def authenticate(self, token: str) -> Actor:
        """Who holds this token. Raises Unauthenticated."""
        return tokens.verify(self._ctx.settings, token, self._ctx.clock.now())

    def opened(self, actor: Actor, chat_id: str | None) -> Pending[list[ChatHead]]:
        """The chats of a user (or that one alone), where the session still lives."""
        return self._ctx.groups.submit(OPEN, _Arrival(actor, chat_id))

    def replay(self, user_id: str, wants: Sequence[Want]) -> Pending[list[bytes]]:
        """The frames that were missed."""
        missed = tuple(reading.Want(w.chat_id, w.after, w.head) for w in wants)
        return self._ctx.groups.submit(reading.REPLAY, reading.ReplayAsk(user_id, missed))

    async def joined(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Joined]:
        """Those of the users who are in the chat now, with their chat.joined.

        It shows the chat as it was when they came in; what was said since follows as messages.
        """
        views = await chats.views(self._ctx.db, chat_id, user_ids)
        asks = [HeadsAsk(user_id, chat_id) for user_id in views]
        states = await asyncio.gather(*(self._ctx.groups.submit(chats.HEADS, ask) for ask in asks))
        joined = {}
        for ask, found in zip(asks, states, strict=True):
            for state in found:
                joined[ask.user_id] = self._joined(state, ChatJoined(chat=views[ask.user_id]))
        return joined

    def _joined(self, state: ChatState, event: ChatJoined) -> Joined:
        after = state.joined_seq
        if state.head_seq - after > self._ctx.settings.messages.replay_limit:
            return Joined(codec.frame(event), state.head_seq, state.head_seq)
        last = event.chat.last_message
        chat = structs.replace(
            event.chat,
            head_seq=after,
            unread_count=0,
            last_message=None if last is not None and last.seq > after else last,
        )
        return Joined(codec.frame(ChatJoined(chat=chat)), after, state.head_seq)

    async def updated(self, chat_id: str, user_ids: Collection[str]) -> dict[str, bytes]:
        """chat.updated for each of the users who are in the chat now."""
        views = await chats.views(self._ctx.db, chat_id, user_ids)
        return {user_id: codec.frame(ChatUpdated(chat=chat)) for user_id, chat in views.items()}

    async def sharing(self, user_id: str, others: Collection[str]) -> set[str]:
        """Those of the others who are in a chat with the user."""
        return await chats.members_shared(self._ctx.db, user_id, others)

    def left(self, chat_id: str, reason: str) -> bytes:
        """chat.left."""
        return codec.frame(ChatLeft(chat_id=chat_id, reason=reason))

    def typing(self, chat_id: str, user_id: str, on: bool) -> bytes:
        """typing.start or typing.stop."""
        if not on:
            return codec.frame(TypingStopped(chat_id=chat_id, user_id=user_id))
        ttl_ms = int(self._ctx.settings.presence.typing_ttl_s * 1000)
        return codec.frame(TypingStarted(chat_id=chat_id, user_id=user_id, expires_in_ms=ttl_ms))

    def presence(self, user_id: str, status: str, since: float | None, shown: bool = True) -> bytes:
        """presence.update; it says since when only where that is ``shown``."""
        last: datetime | None = self._ctx.clock.now()
        if status != "online" and not shown:
            last = None
        elif status != "online" and since is not None:
            # The clock of the node that saw them may be ahead.
            last = min(datetime.fromtimestamp(since, UTC), self._ctx.clock.now())
        return codec.frame(
            PresenceUpdate(user_id=user_id, status=status, last_active_at=last)  # type: ignore[arg-type]
        )

    async def require_live(self, ctx: Ctx) -> None:
        """For REST: raises Unauthenticated or Banned where the session has ended."""
        await accounts.require_live_session(ctx)
