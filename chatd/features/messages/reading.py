"""Reading the log: history for people, replay for sockets that come back, healing for nodes.

Replay merges the two log tables by seq and shows each message as it is now: who replays an edit that was
edited again, or a message that was deleted since, sees the last word at every place it appears.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chatd.core.context import Addressed, Ctx, Database, Queries
from chatd.core.declarations import Batch
from chatd.core.ids import ChatId, UserId
from chatd.core.paging import cut
from chatd.features.chats import service as chats
from chatd.features.chats.contract import Message, MessageNew
from chatd.features.messages import log_store, marks_store, store
from chatd.features.messages.contract import (
    ChatReset,
    Delivery,
    History,
    HistoryQuery,
    MessageDelete,
    MessageUpdate,
    MessageWithDelivery,
    Moderation,
    Paging,
)
from chatd.features.messages.delivery import deliveries
from chatd.features.messages.receipts import concealed, read_frame, received_frame
from chatd.features.messages.replayed_marks import ReplayedMarks
from chatd.features.relations import service as relations
from chatd.realtime.streams import Found, Head, Missing
from chatd.wire import codec

#: A watermark and a message travel apart: marks this much older than the last event seen are sent again.
MARK_SLACK_S = 60.0
_NOBODY: frozenset[str] = frozenset()


# ---------------------------------------------------------------------------------------------- history


async def history(ctx: Ctx, chat_id: ChatId, query: HistoryQuery) -> History:
    """A page of messages, newest first, with their delivery. Raises ChatNotFound."""
    await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    rows = await log_store.page(
        ctx.db, chat_id, query.before, query.before_seq, query.after_seq, query.limit + 1
    )
    rows, last = cut(rows, query.limit)
    found = await chats.messages_by_ids(ctx.db, [row.id for row in rows])
    messages = [found[row.id] for row in rows if row.id in found]  # the chat may be erased just now
    progress = await marks_store.progress(ctx.db, chat_id, rows[-1].seq, ctx.actor.user_id) if rows else []
    return History(
        messages=list(map(_with_delivery, messages, deliveries(messages, progress))),
        paging=Paging(next_before=last.sent_at if last else None, next_before_seq=last.seq if last else None),
    )


def _with_delivery(message: Message, delivery: Delivery) -> MessageWithDelivery:
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    return MessageWithDelivery(**fields, delivery=delivery)


# ----------------------------------------------------------------------------------------------- replay


@dataclass(frozen=True, slots=True)
class Want:
    """What a socket has missed of a chat: everything after ``after`` up to ``head``."""

    chat_id: ChatId
    after: int
    head: int


@dataclass(frozen=True, slots=True)
class ReplayAsk:
    """One socket's wants."""

    user_id: UserId
    wants: tuple[Want, ...]


async def _replay(ctx: Ctx, asks: list[ReplayAsk]) -> Sequence[list[bytes] | Exception]:
    """The frames for each ask: per chat its missed events (or chat.reset), then the watermarks that may
    have moved. What many sockets miss alike is read and encoded once.
    """
    limit = ctx.settings.messages.replay_limit
    wants = {want for ask in asks for want in ask.wants}
    short = [w for w in wants if 0 < w.head - w.after <= limit]
    # A client that is ahead of the log saw a log that is gone (a restored database): it starts anew too.
    long = [w for w in wants if w.head - w.after > limit or w.after > w.head]
    frames: dict[Want, list[bytes]] = {want: [] for want in wants}
    for want, found in (await _events(ctx.db, short, limit)).items():
        frames[want] = [frame for _, frame in found]
    for want in long:
        frames[want] = [await _reset(ctx, want)]
    marks = await _marks_since(ctx.db, wants)
    secretive: set[UserId] = set()
    if any(marks.values()):
        secretive = await relations.hide_receipts(ctx.db, {ask.user_id for ask in asks})
    spoken = set(await store.spoken_in(ctx.db, *_pairs(asks))) if any(marks.values()) else set()
    told = {chat_id: ReplayedMarks(rows) for chat_id, rows in marks.items()}
    return [_assemble(ask, frames, told, spoken, ask.user_id in secretive) for ask in asks]


def _pairs(asks: Iterable[ReplayAsk]) -> tuple[list[str], list[str]]:
    pairs = [(want.chat_id, ask.user_id) for ask in asks for want in ask.wants]
    return [chat for chat, _ in pairs], [user for _, user in pairs]


def _assemble(
    ask: ReplayAsk,
    frames: dict[Want, list[bytes]],
    marks: dict[ChatId, ReplayedMarks],
    spoken: set[store.Spoken],
    secretive: bool,
) -> list[bytes]:
    out: list[bytes] = []
    for want in ask.wants:
        out += frames[want]
        own = store.Spoken(want.chat_id, ask.user_id) in spoken
        out += marks[want.chat_id].frames(ask.user_id, received=own, secretive=secretive)
    return out


async def _reset(ctx: Ctx, want: Want) -> bytes:
    rows = await log_store.page(
        ctx.db, want.chat_id, None, want.head + 1, None, ctx.settings.messages.reset_messages
    )
    messages = await chats.messages_by_ids(ctx.db, [row.id for row in rows])
    event = ChatReset(
        chat_id=want.chat_id,
        head_seq=want.head,
        messages=[messages[row.id] for row in rows if row.id in messages],
    )
    return codec.frame(event)


async def _events(q: Queries, wants: Sequence[Want], limit: int) -> dict[Want, list[tuple[int, bytes]]]:
    """(seq, frame) for each want, in order; at least its first ``limit``."""
    found: dict[Want, list[tuple[int, bytes]]] = {want: [] for want in wants}
    spans = _spans(wants, 2 * limit)
    if not spans:
        return found
    rows = await log_store.events(
        q,
        [members[0].chat_id for members in spans],
        [members[0].after for members in spans],
        [max(want.head for want in members) for members in spans],
        2 * limit,
    )
    messages = await chats.messages_by_ids(q, list({row.message_id for row in rows}))
    # A chat may be erased between the two statements; then there is no log any more, and nothing to heal.
    gone = {row.chat_id for row in rows if row.message_id not in messages}
    for row in rows:
        if row.chat_id in gone:
            continue
        frame = event_frame(row, messages)
        for want in spans[row.span - 1]:
            if want.after < row.seq <= want.head:
                found[want].append((row.seq, frame))
    return found


def _spans(wants: Iterable[Want], longest: int) -> list[list[Want]]:
    """Wants of one chat that lie together, each span read once; none longer than ``longest`` events but
    for a want that is so by itself.
    """
    spans: list[list[Want]] = []
    for want in sorted(wants, key=lambda w: (w.chat_id, w.after, w.head)):
        span = spans[-1] if spans else None
        # The first may itself be longer than the bound; then nobody joins it.
        head = max(want.head, span[0].head) if span else 0
        if span and span[0].chat_id == want.chat_id and head - span[0].after <= longest:
            span.append(want)
        else:
            spans.append([want])
    return spans


def event_frame(row: log_store.EventRow, messages: dict[str, Message]) -> bytes:
    """The frame of one place in the log."""
    match row.kind:
        case "new":
            return codec.frame(MessageNew(chat_id=row.chat_id, seq=row.seq, message=messages[row.message_id]))
        case "update":
            return codec.frame(
                MessageUpdate(chat_id=row.chat_id, seq=row.seq, message=messages[row.message_id])
            )
        case "delete":
            return codec.frame(
                MessageDelete(
                    chat_id=row.chat_id, seq=row.seq, message_id=row.message_id, deleted_by=row.actor_id or ""
                )
            )
        case _:
            detail = row.detail or {}
            return codec.frame(
                Moderation(
                    chat_id=row.chat_id,
                    seq=row.seq,
                    message_id=row.message_id,
                    action=detail.get("action") or "",
                    reason=detail.get("reason"),
                )
            )


async def _marks_since(q: Queries, wants: Iterable[Want]) -> dict[ChatId, list[marks_store.Watermark]]:
    lowest: dict[str, int] = {}
    for want in wants:
        lowest[want.chat_id] = min(want.after, lowest.get(want.chat_id, want.after))
    by_chat: dict[ChatId, list[marks_store.Watermark]] = {chat_id: [] for chat_id in lowest}
    for row in await marks_store.marks_since_event(q, list(lowest), list(lowest.values()), MARK_SLACK_S):
        by_chat[row.chat_id].append(row)
    return by_chat


REPLAY: Batch[ReplayAsk, list[bytes]] = Batch("replay", _replay, max_batch=200)


async def sync(ctx: Ctx, chat_id: ChatId, after_seq: int, limit: int) -> tuple[list[bytes], int]:
    """Up to ``limit`` durable events after a seq, as frames, and the chat's head. Raises ChatNotFound."""
    seat = await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    want = Want(chat_id, after_seq, seat.head_seq)
    found = await _events(ctx.db, [want], limit)
    return [frame for _, frame in found[want][:limit]], seat.head_seq


# ---------------------------------------------------------------------------------------------- healing


def _mark_frames(
    mark: marks_store.Watermark,
    *,
    senders: frozenset[str],
    secretive: frozenset[str],
    after: int,
    upto: int,
) -> list[Addressed]:
    """The frames of a member's marks, of those whose versions lie behind ``after`` and not past ``upto``;
    a delivery.received for ``senders``. The ``secretive`` are not shown what others have read.
    """
    frames = []
    hidden_from = frozenset(mark.hidden_from)
    blind = secretive - {mark.user_id}
    if mark.read_message_id is not None and mark.read_at is not None and after < mark.read_version <= upto:
        shown = read_frame(mark.chat_id, mark.user_id, mark.read_message_id, mark.read_seq, mark.read_at)
        frames.append(concealed(shown, mark.user_id, hidden_from | blind, mark.read_receipts))
    if (
        senders
        and mark.received_message_id is not None
        and mark.received_at is not None
        and after < mark.received_version <= upto
        # What was read was received: said by itself only where the reading does not say it.
        and (mark.received_seq > mark.read_seq or not mark.read_receipts or bool(blind))
    ):
        frames.append(
            received_frame(
                mark.chat_id,
                mark.user_id,
                mark.received_message_id,
                mark.received_seq,
                mark.received_at,
                senders,
                hidden_from,
            )
        )
    return frames


class PostgresLog:
    """The log as nodes heal from it (realtime.streams.LogReader)."""

    PORTION = 500

    def __init__(self, db: Database) -> None:
        self._db = db

    async def heads(self, chat_ids: Sequence[str]) -> list[Head]:
        """How far these chats are."""
        rows = await log_store.heads(self._db, chat_ids)
        return [Head(row.chat_id, row.seq, row.receipt_seq) for row in rows]

    async def missing(self, wanted: Sequence[Missing]) -> list[Found]:
        """What came after, in portions of 500 events a chat."""
        # The heads first: marks that move while we read are left for the next portion, not lost.
        heads = {head.chat_id: head for head in await self.heads([w.chat_id for w in wanted])}
        wants = [
            Want(w.chat_id, w.seq, min(heads[w.chat_id].seq, w.seq + self.PORTION))
            for w in wanted
            if w.chat_id in heads and heads[w.chat_id].seq > w.seq
        ]
        events = {
            want.chat_id: found for want, found in (await _events(self._db, wants, self.PORTION)).items()
        }
        behind = [w for w in wanted if w.chat_id in heads and heads[w.chat_id].receipt_seq > w.receipt_seq]
        marks = await self._marks(behind, {head.chat_id: head.receipt_seq for head in heads.values()})
        found = []
        for w in wanted:
            if w.chat_id in heads:
                frames = [frame for _, frame in events.get(w.chat_id, [])]
                version = heads[w.chat_id].receipt_seq
                found.append(Found(w.chat_id, w.seq + 1, frames, version, marks.get(w.chat_id, [])))
        return found

    async def _marks(self, behind: Sequence[Missing], upto: Mapping[str, int]) -> dict[str, list[Addressed]]:
        if not behind:
            return {}
        since = {w.chat_id: w.receipt_seq for w in behind}
        marks = await marks_store.marks_after(self._db, list(since), list(since.values()))
        senders = await self._senders(marks, since)
        secretive: dict[str, set[str]] = {}
        for member in await marks_store.secretive_members(self._db, list(since)):
            secretive.setdefault(member.chat_id, set()).add(member.user_id)
        frames: dict[str, list[Addressed]] = {}
        for mark in marks:
            # What moved past the head while this was read comes under its own version. Here it would come
            # before older ones, and a watermark never moves back.
            concerned = senders.get((mark.chat_id, mark.received_seq), _NOBODY) - {mark.user_id}
            frames.setdefault(mark.chat_id, []).extend(
                _mark_frames(
                    mark,
                    senders=concerned,
                    secretive=frozenset(secretive.get(mark.chat_id, ())),
                    after=since[mark.chat_id],
                    upto=upto[mark.chat_id],
                )
            )
        return frames

    async def _senders(
        self, marks: Sequence[marks_store.Watermark], since: Mapping[str, int]
    ) -> dict[tuple[str, int], frozenset[str]]:
        """Whom a delivery.received concerns, by chat and seq: those who sent what was received."""
        moved = [m for m in marks if m.received_version > since[m.chat_id]]
        if not moved:
            return {}
        rows = await marks_store.covered(
            self._db, [m.chat_id for m in moved], [m.received_seq for m in moved]
        )
        return {(row.chat_id, row.seq): frozenset(row.sender_ids) for row in rows}
