"""Viewing: who may see a medium, and the links by which they do."""

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from chatd.core.addresses import rate_key
from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Download
from chatd.core.errors import Unauthenticated
from chatd.core.ids import MediaId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.media import keys, links, store
from chatd.features.media.contract import LinkInvalid, MediaNotFound, Medium, Row, SignedFetch, Variant
from chatd.features.relations import service as relations

_MODERATORS = frozenset({"moderator", "admin"})


async def link(ctx: Ctx, media_id: MediaId, variant: Variant) -> str:
    """A short-lived link to a medium, for one who may see it now.

    Raises MediaNotFound, Unauthenticated (it is no avatar, and nobody asks), RateLimited.
    """
    row = await _require_open(ctx, media_id)
    return (await _link(ctx, row, variant, ctx.actor))[0]


async def details(ctx: Ctx, media_id: MediaId) -> Medium:
    """What is known of a medium, with links to it. Raises as ``link`` does."""
    return await shown(ctx, await _require_open(ctx, media_id, ready=False), ctx.actor)


async def opened(ctx: Ctx, media_id: MediaId, signed: SignedFetch) -> Download:
    """The file that a link of ours is about, where its viewer may still see it.

    Raises LinkInvalid, MediaNotFound.
    """
    links.require_get(ctx, media_id, signed)
    # What was deleted or hidden, or is in a chat that they have left, is gone, whatever the link's time says,
    # and so is everything for who was banned, has left, or judges no more.
    viewer = None if signed.viewer is None else await accounts.present(ctx, ctx.db, signed.viewer)
    if viewer is None and signed.viewer is not None:
        raise MediaNotFound
    moderator = signed.moderator and viewer is not None and accounts.rank(viewer.roles) > 0
    row = await _find_open(ctx, media_id, signed.viewer, moderator)
    if row is None or row.status != "ready":
        raise MediaNotFound
    key, content_type = _object(row, signed.variant)
    path = ctx.objects.path(key)
    if path is None:
        raise LinkInvalid
    left = max(0, signed.expires - int(ctx.clock.now().timestamp()))
    return Download(path, content_type, links.disposition(row.file_name), max_age=left)


async def _require_open(ctx: Ctx, media_id: MediaId, *, ready: bool = True) -> Row:
    who, limit = ctx.actor, ctx.settings.media.fetches_per_minute
    if limit:
        key = who.user_id or f"address {rate_key(ctx.address)}"
        await ctx.limiter.require("media.get", key, limit=limit, period_s=60)
    moderator = bool(who.roles & _MODERATORS)
    row = await _find_open(ctx, media_id, who.user_id or None, moderator)
    if row is None or (ready and row.status != "ready"):
        raise MediaNotFound if who.user_id else Unauthenticated
    return row


async def _find_open(ctx: Ctx, media_id: MediaId, viewer: UserId | None, moderator: bool) -> Row | None:
    row = await store.find_open(ctx.db, media_id, viewer, moderator, ctx.clock.now())
    if row is None or row.purpose != "avatar" or row.owner_id is None:
        return row
    # It is shown to whom the profile is, and to those who are to judge it.
    if not await relations.profiles_hidden(ctx.db, viewer, [row.owner_id]):
        return row
    return row if moderator and await store.owner_reported(ctx.db, row.owner_id) else None


async def _link(ctx: Ctx, row: Row, variant: Variant, viewer: Actor) -> tuple[str, datetime]:
    key, content_type = _object(row, variant)
    ttl = ctx.settings.media.link_ttl_s
    url = await ctx.objects.get_link(
        key, content_type=content_type, disposition=links.disposition(row.file_name), expires_s=ttl
    )
    if url is None:
        return links.get_url(ctx, row.id, variant, viewer.user_id or None, bool(viewer.roles & _MODERATORS))
    return url, ctx.clock.now() + timedelta(seconds=ttl)


def _object(row: Row, variant: Variant) -> tuple[str, str]:
    """(key, content type) of what is asked for; what has no thumbnail gives the original."""
    if variant == "thumbnail" and row.thumbnail:
        return keys.thumbnail_of(row.storage_key), keys.THUMBNAIL_TYPE
    return row.storage_key, row.content_type or "application/octet-stream"


async def shown(ctx: Ctx, row: Row, viewer: Actor) -> Medium:
    kind: Literal["image", "video"] = "video" if row.kind == "video" else "image"
    medium = Medium(
        media_id=row.id,
        status=row.status,  # type: ignore[arg-type]  # the table's check names the same three
        type=kind,
        content_type=row.content_type or row.declared_type,
        file_name=row.file_name,
        size=row.size,
        width=row.width,
        height=row.height,
        thumbnail=row.thumbnail,
        created_at=row.created_at,
        reason=row.reason,
    )
    if row.status != "ready":
        return medium
    url, until = await _link(ctx, row, "original", viewer)
    small = (await _link(ctx, row, "thumbnail", viewer))[0]
    return msgspec.structs.replace(medium, url=url, thumbnail_url=small, expires_at=until)


async def own(ctx: Ctx, media_id: MediaId) -> Row:
    row = await store.find(ctx.db, media_id)
    if row is None or row.owner_id != ctx.actor.user_id:
        raise MediaNotFound
    return row
