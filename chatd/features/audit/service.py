"""Writing the audit log down in the transaction of the deed, and reading it.

Who may read it is for the caller to say.
"""

from typing import Any

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, UserId, from_bytes
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.audit import store
from chatd.features.audit.contract import AuditPage, Entry, ListAudit

#: The prefix of the ids of each kind of target.
_PREFIXES = {
    "user": "usr",
    "chat": "cht",
    "message": "msg",
    "case": "cas",
    "filter": "flt",
    "session": "ses",
    "post": "pst",
    "comment": "cmt",
}


async def record(
    q: Queries,
    actor_id: UserId | None,
    action: str,
    *,
    target: tuple[str, str] | None = None,
    chat_id: ChatId | None = None,
    **detail: Any,
) -> None:
    """Write a deed down: who (None: chatd itself), what, to whom (kind, id), and what else is to be known."""
    kind, target_id = target or (None, None)
    await store.insert(q, actor_id, action, kind, target_id, chat_id, msgspec.json.encode(detail))


async def page(q: Queries, query: ListAudit) -> AuditPage:
    """Entries, newest first. Raises ValidationFailed for a cursor that is none."""
    before = decode_cursor(query.cursor, tuple[int])[0] if query.cursor is not None else None
    rows = await store.page(q, query.actor_id, query.target_user_id, query.action, before, query.limit + 1)
    rows, last = cut(rows, query.limit)
    return AuditPage(
        items=[_entry(row) for row in rows], next_cursor=encode_cursor(last.id) if last else None
    )


def _entry(row: store.EntryRow) -> Entry:
    prefix = _PREFIXES.get(row.target_kind or "", "id")
    return Entry(
        id=row.id,
        at=row.at,
        actor_id=row.actor_id,
        action=row.action,
        target_kind=row.target_kind,
        target_id=from_bytes(prefix, row.target_id) if row.target_id is not None else None,
        chat_id=row.chat_id,
        detail=row.detail,
    )
