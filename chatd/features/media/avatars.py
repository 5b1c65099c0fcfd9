"""Avatars: a picture of one's own that one's profile shows, and that is held as long as it does."""

from chatd.core.context import Ctx
from chatd.core.errors import Conflict, TooLarge, ValidationFailed
from chatd.core.ids import MediaId
from chatd.features.accounts import service as accounts
from chatd.features.media import store
from chatd.features.media.contract import Avatar, MediaNotFound


async def wear(ctx: Ctx, media_id: MediaId) -> Avatar:
    """The actor's profile shows this picture of theirs from now on; the one before goes.

    Raises MediaNotFound, ValidationFailed (a video), TooLarge, Conflict (a message has it).
    """
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        # Users before media, here and wherever both are locked.
        await accounts.lock_profile(tx, me)
        row = await store.lock_own(tx, me, media_id, ctx.clock.now())
        if row is None:
            raise MediaNotFound
        if row.kind != "image":
            raise ValidationFailed.at("$.media_id", "an avatar is a picture")
        most = ctx.settings.media.max_avatar_bytes
        if (row.size or 0) > most:
            raise TooLarge(f"It may have {most} bytes")
        if row.held and row.purpose != "avatar":
            raise Conflict("A message has this: upload it as an avatar")
        await store.make_avatar(tx, media_id)
        avatar = Avatar(media_id=media_id, avatar_url=f"/api/media/{media_id}")
        await accounts.set_avatar(tx, ctx, me, media_id, avatar.avatar_url)
    return avatar


async def take_off(ctx: Ctx) -> None:
    """The actor's profile shows no picture; what it showed goes. Again changes nothing."""
    async with ctx.db.transaction() as tx:
        await accounts.lock_profile(tx, ctx.actor.user_id)
        await accounts.set_avatar(tx, ctx, ctx.actor.user_id, None, None)
