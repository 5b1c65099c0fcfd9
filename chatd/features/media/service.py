"""The rules of media: who may upload what, and who may see it.

What nothing holds is collected. Messages hold theirs by message_attachments, users the avatar that they wear.
"""

import asyncio
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from chatd.core.addresses import rate_key
from chatd.core.context import Actor, Ctx, Queries, Tx
from chatd.core.declarations import Download, Incoming
from chatd.core.errors import (
    AppError,
    Conflict,
    RequestTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)
from chatd.core.ids import MediaId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.media import claims, links, looking, store
from chatd.features.media.claims import Claim
from chatd.features.media.contract import (
    LinkInvalid,
    MediaNotFound,
    MediaRejected,
    Medium,
    NewMedium,
    Row,
    SignedFetch,
    SignedPut,
    Upload,
    Variant,
)
from chatd.features.relations import service as relations

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
    await _require_pace(ctx, body.size or 1)
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
    row = await _own(ctx, media_id)
    if row.status == "rejected":
        raise looking.rejection(row.reason or "malformed")
    if row.status == "ready":
        return await _shown(ctx, row, ctx.actor)
    async with claims.claimed(ctx, media_id, 0) as claim:
        path = ctx.objects.scratch()
        key, most = incoming(row.storage_key), _limit(ctx, row.purpose, row.kind)
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
            await ctx.objects.put(thumbnail_of(row.storage_key), thumbnail, content_type=_WEBP)
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
    return await _shown(ctx, settled, Actor(settled.owner_id or UserId("")))


async def _superseded(ctx: Ctx, row: Row) -> AppError:
    """What an upload is told that has lost its claim; what it has put where nobody looks goes."""
    if await store.find(ctx.db, row.id) is not None:
        return Conflict("Another upload by this link was faster")  # what lies there now is that one's
    # It was collected while it came in, and perhaps its objects before they were put.
    for key in (row.storage_key, thumbnail_of(row.storage_key)):
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


# --------------------------------------------------------------------------------------------------- fetch


async def link(ctx: Ctx, media_id: MediaId, variant: Variant) -> str:
    """A short-lived link to a medium, for one who may see it now.

    Raises MediaNotFound, Unauthenticated (it is no avatar, and nobody asks), RateLimited.
    """
    row = await _require_open(ctx, media_id)
    return (await _link(ctx, row, variant, ctx.actor))[0]


async def details(ctx: Ctx, media_id: MediaId) -> Medium:
    """What is known of a medium, with links to it. Raises as ``link`` does."""
    return await _shown(ctx, await _require_open(ctx, media_id, ready=False), ctx.actor)


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
        return thumbnail_of(row.storage_key), _WEBP
    return row.storage_key, row.content_type or "application/octet-stream"


async def _shown(ctx: Ctx, row: Row, viewer: Actor) -> Medium:
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
        raise Conflict("A message has this, or your profile") if row.held else MediaNotFound


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
