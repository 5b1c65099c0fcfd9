"""Search: find, then show what each message says now."""

import html

from chatd.core.context import Ctx
from chatd.core.errors import ValidationFailed
from chatd.core.ids import MessageId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.chats import service as chats
from chatd.features.search import store
from chatd.features.search.contract import Hit, Hits, SearchMessages

#: Up to so many matches are sorted; where there are more, the newest are looked for from the end.
MOST_SORTED = 3000
# Marks that no escaping touches and no text keeps.
_START, _STOP = "\x02", "\x03"
_EXCERPT = 'MaxWords=35, MinWords=15, MaxFragments=2, FragmentDelimiter=" … "'


async def search(ctx: Ctx, query: SearchMessages) -> Hits:
    """What the actor may read and the query asks for, newest first.

    Raises ValidationFailed where nothing is asked for, and for a cursor that is none.
    """
    words = (query.q or "").strip() or None
    if words is None and query.sender_id is None and query.chat_id is None and not query.has_attachment:
        raise ValidationFailed.at("$.q", "ask for words, a sender, a chat or attachments")
    before = decode_cursor(query.cursor, tuple[MessageId])[0] if query.cursor is not None else None
    ids = await store.search(
        ctx.db,
        ctx.actor.user_id,
        words,
        query.chat_id,
        query.sender_id,
        query.has_attachment,
        query.after,
        query.until,
        before,
        query.limit + 1,
        MOST_SORTED,
    )
    ids, last = cut(ids, query.limit)
    found = await chats.messages_by_ids(ctx.db, ids)
    marked = await _highlights(ctx, ids, words) if words is not None and ids else {}
    return Hits(
        items=[Hit(message=found[hit], highlight=marked.get(hit)) for hit in ids],
        next_cursor=encode_cursor(last) if last else None,
    )


async def _highlights(ctx: Ctx, ids: list[MessageId], words: str) -> dict[MessageId, str]:
    rows = await store.excerpts(ctx.db, ids, words, _START, _STOP, _EXCERPT)
    return {row.message_id: _marked(row.text) for row in rows}


def _marked(excerpt: str) -> str:
    """Everything of the message escaped; the only tags are our own."""
    text = excerpt.replace("\x04", "<").replace("\x05", ">")
    return html.escape(text).replace(_START, "<mark>").replace(_STOP, "</mark>")
