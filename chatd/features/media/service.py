"""What other rooms ask of media, and how what nothing holds goes.

Messages hold theirs by message_attachments, users the avatar that they wear; what nothing holds is collected.
Who may upload what is in ``uploads``, who may see it in ``viewing``.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Conflict, ValidationFailed
from chatd.core.ids import MediaId, UserId
from chatd.features.media import store, viewing
from chatd.features.media.contract import MediaNotFound


async def discard(ctx: Ctx, media_id: MediaId) -> None:
    """Take back what one has uploaded and nothing uses. Raises MediaNotFound, Conflict."""
    row = await viewing.own(ctx, media_id)
    if not await store.discard(ctx.db, media_id, ctx.actor.user_id, ctx.clock.now()):
        raise Conflict("A message has this, or your profile") if row.held else MediaNotFound


async def collect(ctx: Ctx, *, most: int = 500) -> None:
    """Forget what nothing uses any more, then delete its bytes; those that cannot be are tried again."""
    await store.collect(ctx.db, ctx.clock.now(), most)
    keys = await store.garbage(ctx.db, ctx.clock.now(), 3 * most)
    if keys:
        await ctx.objects.delete(keys)
        await store.forget_garbage(ctx.db, keys)


async def keep_until(tx: Tx, ctx: Ctx, media_ids: Collection[MediaId], until: datetime) -> None:
    """A message of the actor's will use these by then. Raises ValidationFailed unless the actor may send all
    of them now; that is asked again when it is sent.
    """
    wanted = sorted(set(media_ids))
    if not wanted:
        return
    if len(await store.lock_sendable(tx, ctx.actor.user_id, wanted)) < len(wanted):
        raise ValidationFailed.at(
            "$.content.attachments", "there is no such medium for you, or it is not ready"
        )
    await store.keep_until(tx, wanted, until + timedelta(seconds=ctx.settings.media.unused_ttl_s))


async def described(q: Queries, content: str, media_ids: Sequence[MediaId]) -> str:
    """A message's content (JSON) with what is known of its attachments, which are these, in order."""
    return await store.described(q, content, media_ids)


async def reattach(
    tx: Tx, message_id: str, chat_id: str, user_id: UserId, media_ids: Sequence[MediaId]
) -> None:
    """Put these in the place of a message's attachments; its chat's row is held. Raises ValidationFailed."""
    if not await store.reattach(tx, message_id, chat_id, user_id, media_ids):
        raise ValidationFailed.at("$.content.attachments", "there is no such medium for you")
