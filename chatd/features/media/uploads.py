"""Uploads: who may announce what, and what becomes of the bytes as they come."""

import asyncio
import secrets
from datetime import timedelta
from functools import partial
from pathlib import Path

from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Incoming
from chatd.core.errors import AppError, Conflict, RequestTimeout, TooLarge, Unavailable, ValidationFailed
from chatd.core.ids import MediaId, UserId
from chatd.features.media import claims, keys, links, looking, store, viewing
from chatd.features.media.claims import Claim
from chatd.features.media.contract import (
    MediaNotFound,
    MediaRejected,
    Medium,
    NewMedium,
    Row,
    SignedPut,
    Upload,
)


async def begin(ctx: Ctx, body: NewMedium) -> Upload:
    """A medium that waits for its bytes, and where to send them.

    Raises ValidationFailed, TooLarge, RateLimited, Unavailable.
    """
    kind = "video" if body.type in ("video", "reel") else "image"
    if body.content_type.partition("/")[0] != kind:
        raise ValidationFailed.at("$.content_type", f"not of type {body.type}")
    purpose = "avatar" if body.type == "avatar" else "chat"
    limit = _limit(ctx, purpose, kind)
    if body.size is not None and body.size > limit:
        raise TooLarge(f"It may have {limit} bytes")
    await _require_pace(ctx, body.size or 1)
    settings, now = ctx.settings.media, ctx.clock.now()
    until = now + timedelta(seconds=settings.upload_ttl_s)
    key = secrets.token_hex(16)
    link = await ctx.objects.put_link(
        keys.incoming(key), content_type=body.content_type, size=body.size, expires_s=settings.upload_ttl_s
    )
    row = await store.insert(
        ctx.db,
        ctx.ids.new("med"),
        ctx.actor.user_id,
        purpose,
        kind,
        body.content_type,
        _tidy_name(body.file_name),
        key,
        until,
        until + timedelta(seconds=claims.grace(ctx)),
    )
    return Upload(
        media_id=row.id,
        upload_url=links.put_url(ctx, row.id, until, body.size) if link is None else link.url,
        expires_at=until,
        method="PUT",
        headers={"Content-Type": body.content_type} if link is None else link.headers,
        max_bytes=limit,
    )


async def receive(ctx: Ctx, media_id: MediaId, signed: SignedPut, body: Incoming) -> Medium:
    """Take the bytes of a medium by its link, which is good for one upload that arrives whole.

    Raises LinkInvalid, MediaNotFound, Conflict (used, or in use), RateLimited (too many at once, or too much
    for a day), TooLarge, MediaRejected, Unavailable.
    """
    links.require_put(ctx, media_id, signed)
    async with claims.claimed(ctx, media_id, signed.size or 0) as claim:
        path = ctx.objects.scratch()
        try:
            most = signed.size or _limit(ctx, claim.row.purpose, claim.row.kind)
            async with asyncio.timeout(ctx.settings.media.upload_timeout_s):
                await ctx.objects.save(path, claims.metered(ctx, claim, body, most))
            if signed.size is not None and path.stat().st_size < signed.size:
                raise looking.rejection("truncated")  # and the link is good for another try
            return await _finish(ctx, claim, path)
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            path.unlink(missing_ok=True)


async def complete(ctx: Ctx, media_id: MediaId) -> Medium:
    """Look into what was uploaded to the object store; what is done already stays done.

    Raises MediaNotFound, Conflict (nothing is there yet), TooLarge, MediaRejected, Unavailable.
    """
    row = await viewing.own(ctx, media_id)
    if row.status == "rejected":
        raise looking.rejection(row.reason or "malformed")
    if row.status == "ready":
        return await viewing.shown(ctx, row, ctx.actor)
    async with claims.claimed(ctx, media_id, 0) as claim:
        path = ctx.objects.scratch()
        key, most = keys.incoming(row.storage_key), _limit(ctx, row.purpose, row.kind)
        try:
            async with asyncio.timeout(ctx.settings.media.upload_timeout_s):
                if not await ctx.objects.fetch(
                    key, path, at_most=most, admit=partial(claims.reserve, ctx, claim)
                ):
                    raise Conflict("Nothing was uploaded yet")
            # Its link is good for a while yet, and may bring it again.
            await store.throw_away(ctx.db, key, row.upload_until + timedelta(minutes=1))
            return await _finish(ctx, claim, path)
        except TimeoutError:
            raise Unavailable("The store of media is too slow now") from None
        finally:
            path.unlink(missing_ok=True)


async def _finish(ctx: Ctx, claim: Claim, path: Path) -> Medium:
    row, thumbnail = claim.row, path.with_suffix(".thumbnail")
    try:
        async with ctx.objects.working():
            found = await looking.look(ctx.settings.media, path, row.declared_type, thumbnail)
        # Not over what another has put there, where this process stood still for longer than its claim held.
        if not await store.renew(ctx.db, row.id, claim.id, claims.LEASE_S):
            raise await _superseded(ctx, row)
        await ctx.objects.put(row.storage_key, path, content_type=found.content_type)
        drawn = thumbnail.exists()
        if drawn:
            await ctx.objects.put(
                keys.thumbnail_of(row.storage_key), thumbnail, content_type=keys.THUMBNAIL_TYPE
            )
    except MediaRejected as rejected:
        await store.reject(ctx.db, row.id, claim.id, rejected.reason)
        raise
    finally:
        thumbnail.unlink(missing_ok=True)
    collect = ctx.clock.now() + timedelta(seconds=ctx.settings.media.unused_ttl_s)
    if not await store.settle(ctx.db, row.id, claim.id, found, drawn, collect):
        raise await _superseded(ctx, row)
    settled = await store.find(ctx.db, row.id)
    if settled is None:
        raise MediaNotFound
    # Who uploads by a link shows no token: what they get to see is what its owner may.
    return await viewing.shown(ctx, settled, Actor(settled.owner_id or UserId("")))


async def _superseded(ctx: Ctx, row: Row) -> AppError:
    """What an upload is told that has lost its claim; what it has put where nobody looks goes."""
    if await store.find(ctx.db, row.id) is not None:
        return Conflict("Another upload by this link was faster")  # what lies there now is that one's
    # It was collected while it came in, and perhaps its objects before they were put.
    for key in (row.storage_key, keys.thumbnail_of(row.storage_key)):
        await store.throw_away(ctx.db, key, ctx.clock.now())
    return MediaNotFound()


async def _require_pace(ctx: Ctx, size: int) -> None:
    media, me = ctx.settings.media, ctx.actor.user_id
    if media.uploads_per_minute:
        await ctx.limiter.require("media.put", me, limit=media.uploads_per_minute, period_s=60)
    await claims.require_day(ctx, ctx.db, me, size)


def _limit(ctx: Ctx, purpose: str, kind: str) -> int:
    media = ctx.settings.media
    if purpose == "avatar":
        return media.max_avatar_bytes
    return media.max_video_bytes if kind == "video" else media.max_image_bytes


def _tidy_name(name: str) -> str:
    """A file's name without directories, or what only confuses."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip(" .") or "file"
