"""What goes into an export, section by section, in bounded pieces.

A piece is found by where the last one ended, so an export goes on after any interruption. Everything in it
is of its owner: their own messages, never the answers of others.
"""

from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import msgspec

from chatd.core.context import Ctx
from chatd.core.ids import ChatId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.messages import service as messages
from chatd.features.personal_data import store

ROWS, MOST = 500, 20_000
#: Chats in which the user may have written that are passed by in one piece.
PAGES = 20
#: Told better by a section of its own, or of no use to anybody outside, or of others: who has blocked me.
ELSEWHERE = [
    "account_deletions",
    "account_tokens",
    "chat_participants",
    "data_exports",
    "user_blocks.blocked_id",
    "user_profiles",
]

#: Pieces as (section, rows), and where to go on (None: the section is done).
Piece = tuple[list[tuple[str, Any]], str | None]


class _InMessages(msgspec.Struct, frozen=True):
    """Where among the messages: in this chat after this client id, or (with none) past this chat."""

    chat_id: ChatId
    after: str | None


async def account(ctx: Ctx, user_id: UserId, position: str | None) -> Piece:
    """Who one is."""
    return [("account", [await accounts.person(ctx.db, user_id)])], None


async def chats(ctx: Ctx, user_id: UserId, position: str | None) -> Piece:
    """Where one is a member."""
    rows = await store.memberships(ctx.db, user_id, position, ROWS)
    return [("chats", rows)], rows[-1].chat_id if len(rows) == ROWS else None


async def said(ctx: Ctx, user_id: UserId, position: str | None) -> Piece:
    """What one wrote, chat by chat, also where one has left since."""
    at = msgspec.json.decode(position, type=_InMessages) if position is not None else None
    for _ in range(PAGES):
        if at is None or at.after is None:
            page = await messages.next_spoken(ctx.db, user_id, at.chat_id if at is not None else None)
            if page is None:
                return [], None
            chat_id, found = page
            at = _InMessages(chat_id, "" if found else None)
        if at.after is not None:
            rows = await messages.said(ctx.db, user_id, at.chat_id, at.after, ROWS)
            more = rows[-1].client_message_id if len(rows) == ROWS else None
            before = await messages.reworded(ctx.db, [row.id for row in rows])
            return [("messages", rows), ("message_versions", before)], _encoded(_InMessages(at.chat_id, more))
    return [], _encoded(at) if at is not None else None


async def given(ctx: Ctx, user_id: UserId, position: str | None) -> Piece:
    """One's reactions."""
    return [("reactions", await messages.given(ctx.db, user_id, MOST))], None


async def the_rest(ctx: Ctx, user_id: UserId, position: str | None) -> Piece:
    """What tables declare to be the user's."""
    rows = await store.rows_of_user(ctx.db, user_id, ELSEWHERE, MOST)
    return [
        (section, [row.data for row in group]) for section, group in groupby(rows, lambda row: row.section)
    ], None


SECTIONS: tuple[Callable[[Ctx, UserId, str | None], Awaitable[Piece]], ...] = (
    account,
    chats,
    said,
    given,
    the_rest,
)


def _encoded(at: _InMessages) -> str:
    return msgspec.json.encode(at).decode()
