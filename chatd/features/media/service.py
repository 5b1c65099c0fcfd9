"""The rules of media: who may upload what, and who may see it.

Other rooms begin uploads for purposes of their own with ``begin``, and ``hold`` what they use of them:
what nothing holds is collected. Messages hold theirs by message_attachments.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from chatd.core.addresses import rate_key
from chatd.core.context import Ctx, Queries, Tx
from chatd.core.declarations import Download, Incoming
from chatd.core.errors import (
    Conflict,
    RateLimited,
    RequestTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)
from chatd.core.ids import MediaId, UserId
from chatd.features.media import links, looking, store
from chatd.features.media.contract import (
    LinkInvalid,
    MediaNotFound,
    MediaRejected,
    Medium,
    NewMedium,
    Row,
    Signed,
    SignedFetch,
    Upload,
    Variant,
)

#: Avatars of a user that are kept: what an old message's client has cached goes on for a while.
AVATARS = 5
_MODERATORS = frozenset({"moderator", "admin"})
_WEBP = "image/webp"

# -------------------------------------------------------------------------------------------------- upload


async def begin(ctx: Ctx, body: NewMedium, *, purpose: str = "chat") -> Upload:
    """A medium that waits for its bytes, and where to send them.

    Raises ValidationFailed, TooLarge, RateLimited, Unavailable.
    """
    kind = "video" if body.type in ("video", "reel") else "image"
    if body.content_type.partition("/")[0] != kind:
        raise ValidationFailed.at("$.content_type", f"not of type {body.type}")
    if body.type == "avatar":
        purpose = "avatar"
    limit = _limit(ctx, purpose, kind)
    if body.size is not None and body.size > limit:
        raise TooLarge(f"It may have {limit} bytes")
    await _require_moderation(ctx)
    settings, now = ctx.settings.media, ctx.clock.now()
    until = now + timedelta(seconds=settings.upload_ttl_s)
    key = secrets.token_hex(16)
    link = await ctx.objects.put_link(
        incoming(key), content_type=body.content_type, size=body.size, expires_s=settings.upload_ttl_s
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
        until + timedelta(seconds=_grace(ctx)),
    )
    return Upload(
        media_id=row.id,
        upload_url=links.put_url(ctx, row.id, until) if link is None else link.url,
        expires_at=until,
        method="PUT",
        headers={"Content-Type": body.content_type} if link is None else link.headers,
        max_bytes=limit,
    )


async def receive(ctx: Ctx, media_id: MediaId, signed: Signed, body: Incoming) -> Medium:
    """Take the bytes of a medium by its link, which is good for one upload that arrives whole.

    Raises LinkInvalid, MediaNotFound, Conflict (used, or in use), TooLarge, MediaRejected, Unavailable.
    """
    links.require(ctx, "put", media_id, signed)
    async with _claimed(ctx, media_id) as row:
        path = ctx.objects.scratch()
        try:
            chunks = body.chunks(_limit(ctx, row.purpose, row.kind))
            async with asyncio.timeout(ctx.settings.media.upload_timeout_s):
                await ctx.objects.save(path, chunks)
            return await _finish(ctx, row, path)
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            path.unlink(missing_ok=True)


async def complete(ctx: Ctx, media_id: MediaId) -> Medium:
    """Look into what was uploaded to the object store; what is done already stays done.

    Raises MediaNotFound, Conflict (nothing is there yet), TooLarge, MediaRejected, Unavailable.
    """
    row = await _own(ctx, media_id)
    if row.status == "rejected":
        raise looking.rejection(row.reason or "malformed")
    if row.status == "ready":
        return await _shown(ctx, row)
    async with _claimed(ctx, media_id) as row:
        path = ctx.objects.scratch()
        key, most = incoming(row.storage_key), _limit(ctx, row.purpose, row.kind)
        try:
            async with asyncio.timeout(ctx.settings.media.upload_timeout_s):
                if not await ctx.objects.fetch(key, path, at_most=most):
                    raise Conflict("Nothing was uploaded yet")
            # Its link is good for a while yet, and may bring it again.
            await store.throw_away(ctx.db, key, row.upload_until + timedelta(minutes=1))
            return await _finish(ctx, row, path)
        except TimeoutError:
            raise Unavailable("The store of media is too slow now") from None
        finally:
            path.unlink(missing_ok=True)


async def _finish(ctx: Ctx, row: Row, path: Path) -> Medium:
    thumbnail = path.with_suffix(".thumbnail")
    try:
        async with ctx.objects.working():
            found = await looking.look(ctx.settings.media, path, row.declared_type, thumbnail)
        await ctx.objects.put(row.storage_key, path, content_type=found.content_type)
        drawn = thumbnail.exists()
        if drawn:
            await ctx.objects.put(thumbnail_of(row.storage_key), thumbnail, content_type=_WEBP)
    except MediaRejected as rejected:
        await store.reject(ctx.db, row.id, rejected.reason)
        raise
    finally:
        thumbnail.unlink(missing_ok=True)
    now = ctx.clock.now()
    avatar = row.purpose == "avatar"
    collect = None if avatar else now + timedelta(seconds=ctx.settings.media.unused_ttl_s)
    if not await store.settle(ctx.db, row.id, found, drawn, collect):
        raise MediaNotFound
    if avatar and row.owner_id is not None:
        await store.expire_avatars(ctx.db, row.owner_id, AVATARS, now)
    settled = await store.find(ctx.db, row.id)
    if settled is None:
        raise MediaNotFound
    return await _shown(ctx, settled)


@asynccontextmanager
async def _claimed(ctx: Ctx, media_id: MediaId) -> AsyncIterator[Row]:
    """The upload of a pending medium, for the caller alone; given back where it does not come to an end."""
    now = ctx.clock.now()
    until = now + timedelta(seconds=_grace(ctx))
    if not await store.claim(ctx.db, media_id, now, until, until):
        row = await store.find(ctx.db, media_id)
        if row is None:
            raise MediaNotFound
        raise Conflict("This upload is under way" if row.status == "pending" else "This link has been used")
    try:
        row = await store.find(ctx.db, media_id)
        if row is None:
            raise MediaNotFound
        yield row
    finally:
        # Where it has come to its end this changes nothing.
        await store.release(ctx.db, media_id)


async def _require_moderation(ctx: Ctx) -> None:
    media, me = ctx.settings.media, ctx.actor.user_id
    if media.uploads_per_minute:
        await ctx.limiter.require("media.put", me, limit=media.uploads_per_minute, period_s=60)
    if media.bytes_per_day:
        since = ctx.clock.now() - timedelta(days=1)
        if await store.uploaded_since(ctx.db, me, since) >= media.bytes_per_day:
            raise RateLimited("That was much for one day", retry_after_ms=3_600_000)


def _limit(ctx: Ctx, purpose: str, kind: str) -> int:
    media = ctx.settings.media
    if purpose == "avatar":
        return media.max_avatar_bytes
    return media.max_video_bytes if kind == "video" else media.max_image_bytes


def _grace(ctx: Ctx) -> float:
    """Longer than an upload and the looking into it may take."""
    return ctx.settings.media.upload_timeout_s + 300


def _tidy_name(name: str) -> str:
    """A file's name without directories, or what only confuses."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip(" .") or "file"


# --------------------------------------------------------------------------------------------------- fetch


async def link(ctx: Ctx, media_id: MediaId, variant: Variant) -> str:
    """A short-lived link to a medium, for one who may see it now.

    Raises MediaNotFound, Unauthenticated (it is no avatar, and nobody asks), RateLimited.
    """
    row = await _require_open(ctx, media_id)
    return (await _link(ctx, row, variant))[0]


async def details(ctx: Ctx, media_id: MediaId) -> Medium:
    """What is known of a medium, with links to it. Raises as ``link`` does."""
    return await _shown(ctx, await _require_open(ctx, media_id, ready=False))


async def opened(ctx: Ctx, media_id: MediaId, signed: SignedFetch) -> Download:
    """The file that a link of ours is about. Raises LinkInvalid, MediaNotFound."""
    links.require(ctx, signed.variant, media_id, signed)
    row = await store.find(ctx.db, media_id)
    # What was deleted is gone, however long its links would have been good.
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
    row = await store.find_open(ctx.db, media_id, who.user_id or None, moderator, ctx.clock.now())
    if row is None or (ready and row.status != "ready"):
        raise MediaNotFound if who.user_id else Unauthenticated
    return row


async def _link(ctx: Ctx, row: Row, variant: Variant) -> tuple[str, datetime]:
    key, content_type = _object(row, variant)
    ttl = ctx.settings.media.link_ttl_s
    url = await ctx.objects.get_link(
        key, content_type=content_type, disposition=links.disposition(row.file_name), expires_s=ttl
    )
    if url is None:
        return links.get_url(ctx, row.id, variant)
    return url, ctx.clock.now() + timedelta(seconds=ttl)


def _object(row: Row, variant: Variant) -> tuple[str, str]:
    """(key, content type) of what is asked for; what has no thumbnail gives the original."""
    if variant == "thumbnail" and row.thumbnail:
        return thumbnail_of(row.storage_key), _WEBP
    return row.storage_key, row.content_type or "application/octet-stream"


async def _shown(ctx: Ctx, row: Row) -> Medium:
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
    url, until = await _link(ctx, row, "original")
    small = (await _link(ctx, row, "thumbnail"))[0]
    return msgspec.structs.replace(medium, url=url, thumbnail_url=small, expires_at=until)


async def _own(ctx: Ctx, media_id: MediaId) -> Row:
    row = await store.find(ctx.db, media_id)
    if row is None or row.owner_id != ctx.actor.user_id:
        raise MediaNotFound
    return row


# ------------------------------------------------------------------------------------------------ deletion


async def discard(ctx: Ctx, media_id: MediaId) -> None:
    """Take back what one has uploaded and nothing uses. Raises MediaNotFound, Conflict."""
    row = await _own(ctx, media_id)
    if not await store.discard(ctx.db, media_id, ctx.actor.user_id, ctx.clock.now()):
        raise Conflict("A message has this; delete the message") if row.held else MediaNotFound


async def collect(ctx: Ctx, *, most: int = 500) -> None:
    """Forget what nothing uses any more, then delete its bytes; those that cannot be are tried again."""
    await store.collect(ctx.db, ctx.clock.now(), most)
    keys = await store.garbage(ctx.db, ctx.clock.now(), 3 * most)
    if keys:
        await ctx.objects.delete(keys)
        await store.forget_garbage(ctx.db, keys)


def incoming(key: str) -> str:
    """Where an object store takes the bytes before they are looked into."""
    return f"incoming-{key}"


def thumbnail_of(key: str) -> str:
    """Where the thumbnail lies."""
    return f"{key}-thumbnail"


# -------------------------------------------------------------------------------------- for other rooms


async def hold(tx: Tx, ctx: Ctx, owner_id: UserId, media_ids: Collection[MediaId]) -> None:
    """Something of the owner's uses these now. Raises MediaNotFound unless all are theirs and ready."""
    wanted = sorted(set(media_ids))
    if len(await store.lock_own(tx, owner_id, wanted, ctx.clock.now())) < len(wanted):
        raise MediaNotFound
    await store.hold(tx, wanted)


async def let_go(tx: Tx, ctx: Ctx, media_ids: Collection[MediaId]) -> None:
    """It uses these no more; each that nothing else uses goes."""
    await store.let_go(tx, sorted(set(media_ids)), ctx.clock.now())


async def keep_until(tx: Tx, ctx: Ctx, media_ids: Collection[MediaId], until: datetime) -> None:
    """A message of the actor's will use these by then. Raises ValidationFailed unless all are theirs and
    ready.
    """
    wanted = sorted(set(media_ids))
    if not wanted:
        return
    if len(await store.lock_own(tx, ctx.actor.user_id, wanted, ctx.clock.now())) < len(wanted):
        raise ValidationFailed.at("$.content.attachments", "there is no such medium of yours, or not yet")
    await store.keep_until(tx, wanted, until + timedelta(seconds=ctx.settings.media.unused_ttl_s))


async def url_for(ctx: Ctx, media_id: MediaId, variant: Variant = "original") -> str:
    """A link to a medium that the caller has found the actor may see. Raises MediaNotFound."""
    row = await store.find(ctx.db, media_id)
    if row is None or row.status != "ready":
        raise MediaNotFound
    return (await _link(ctx, row, variant))[0]


async def described(q: Queries, content: str, media_ids: Sequence[MediaId]) -> str:
    """A message's content (JSON) with what is known of its attachments, which are these, in order."""
    return await store.described(q, content, media_ids)


async def reattach(
    tx: Tx, message_id: str, chat_id: str, user_id: UserId, media_ids: Sequence[MediaId]
) -> None:
    """Put these in the place of a message's attachments; its chat's row is held. Raises ValidationFailed."""
    if not await store.reattach(tx, message_id, chat_id, user_id, media_ids):
        raise ValidationFailed.at("$.content.attachments", "there is no such medium for you")
