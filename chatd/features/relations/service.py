"""What rooms ask before they show one user to another, or carry something between them.

A block works both ways and tells nobody: to each of the two the other looks like one who is never there.
"""

from collections.abc import Collection

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Blocked
from chatd.core.ids import UserId
from chatd.features.relations import store
from chatd.features.relations.contract import Audience, Block, Privacy, Sight

__all__ = (
    "block",
    "blocks",
    "hidden_from",
    "hide_receipts",
    "last_seen_is_shown",
    "privacy",
    "profiles_hidden",
    "require_deliverable",
    "require_none_blocked",
    "require_reachable",
    "save_privacy",
    "shares_a_chat",
    "sights",
    "unblock",
)


async def privacy(q: Queries, user_id: UserId) -> Privacy:
    """A user's settings; the defaults where nothing was set."""
    return await store.find_privacy(q, user_id) or Privacy()


async def save_privacy(
    tx: Tx,
    ctx: Ctx,
    user_id: UserId,
    *,
    last_seen: Audience | None = None,
    read_receipts: bool | None = None,
    messages_from: Audience | None = None,
    profile: Audience | None = None,
) -> Privacy:
    """Set what is given; how it is then."""
    saved = await store.save_privacy(tx, user_id, last_seen, read_receipts, messages_from, profile)
    if last_seen == "nobody":
        await store.feed_hidden(tx, [user_id])
        tx.after_commit(ctx.broker.feed_changed)
    return saved


async def block(tx: Tx, ctx: Ctx, user_id: UserId, other: UserId) -> None:
    """From the commit on nothing passes between the two; twice is once. Raises UserNotFound."""
    if await store.insert_block(tx, user_id, other):
        await store.feed_hidden(tx, [user_id, other])
        tx.after_commit(ctx.broker.feed_changed)


async def unblock(tx: Tx, user_id: UserId, other: UserId) -> None:
    """Take one's block back; the other's, if there is one, stays."""
    await store.delete_block(tx, user_id, other)


async def blocks(q: Queries, user_id: UserId, after: UserId | None, limit: int) -> list[Block]:
    """Whom the user has blocked, by id, after one."""
    return await store.page_of_blocks(q, user_id, after, limit)


async def hidden_from(q: Queries, user_id: UserId) -> frozenset[UserId]:
    """With whom a block stands, whoever made it."""
    return frozenset(await store.blocked_with(q, user_id, None))


async def blocked_with(q: Queries, user_id: UserId, others: Collection[UserId]) -> set[UserId]:
    """Those of ``others`` with whom a block stands, whoever made it."""
    return set(await store.blocked_with(q, user_id, list(others))) if others else set()


async def require_none_blocked(q: Queries, user_id: UserId, others: Collection[UserId]) -> None:
    """Raises Blocked where one stands with any of them; it does not say with whom."""
    if await blocked_with(q, user_id, others):
        raise Blocked


async def require_reachable(q: Queries, user_id: UserId, others: Collection[UserId]) -> None:
    """Raises Blocked where one of the others is not to be let into a group by the user: a block stands, or
    they want messages of nobody, or of who shares a chat with them only. It does not say who, nor why.
    """
    if others and await store.unreachable(q, user_id, list(others)):
        raise Blocked


async def profiles_hidden(q: Queries, viewer_id: UserId | None, user_ids: Collection[UserId]) -> set[UserId]:
    """Those of these users of whom the viewer (None: who has not signed in) is shown no more than the name.
    One statement.
    """
    return set(await store.profiles_hidden(q, viewer_id, list(user_ids))) if user_ids else set()


async def hide_receipts(q: Queries, user_ids: Collection[UserId]) -> set[UserId]:
    """Those of these users who show nobody what they have read, and so are not shown what others have."""
    return set(await store.hide_receipts(q, list(user_ids))) if user_ids else set()


async def require_deliverable(q: Queries, chat_id: str, sender_id: UserId) -> None:
    """Raises Blocked where this is a direct chat whose other side wants nothing of the sender."""
    if await store.direct_is_closed(q, chat_id, sender_id):
        raise Blocked


async def sights(q: Queries, viewer_id: UserId, user_ids: Collection[UserId]) -> dict[UserId, Sight]:
    """What the viewer sees of each of these users. One statement; a user sees all of oneself."""
    if not user_ids:
        return {}
    found = {sight.user_id: sight for sight in await store.sights(q, viewer_id, list(user_ids))}
    if viewer_id in found:
        found[viewer_id] = Sight(viewer_id, False, "everyone")
    return found


async def last_seen_is_shown(q: Queries, viewer_id: UserId, user_id: UserId) -> bool:
    """Whether the viewer may know when the user was last active."""
    sight = (await sights(q, viewer_id, [user_id]))[user_id]
    if sight.hidden or sight.last_seen == "nobody":
        return False
    return sight.last_seen == "everyone" or await store.shares_a_chat(q, viewer_id, user_id)


async def shares_a_chat(q: Queries, one: UserId, other: UserId) -> bool:
    """Whether the two are in a chat together that is no direct one."""
    return await store.shares_a_chat(q, one, other)
