"""Media over REST."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, Download, Incoming, Redirect, delete, get, post, put
from chatd.core.errors import Conflict, RateLimited, TooLarge, Unauthenticated
from chatd.core.ids import MediaId
from chatd.features.media import avatars, service, uploads, viewing
from chatd.features.media.contract import (
    Avatar,
    Fetch,
    LinkInvalid,
    MediaNotFound,
    MediaRejected,
    Medium,
    NewMedium,
    SignedFetch,
    SignedPut,
    Upload,
    WearAvatar,
)


async def begin(ctx: Ctx, body: NewMedium) -> Upload:
    """Announce a picture, a video or an avatar: where to send its bytes, and the id to send it with."""
    return await uploads.begin(ctx, body)


async def upload(ctx: Ctx, media_id: MediaId, query: SignedPut, body: Incoming) -> Medium:
    """The bytes of a medium, by the link that announcing it gave; no token. The link is good once."""
    return await uploads.receive(ctx, media_id, query, body)


async def complete(ctx: Ctx, media_id: MediaId) -> Medium:
    """Have what was sent to an object store looked into; where chatd took the bytes this changes nothing."""
    return await uploads.complete(ctx, media_id)


async def fetch(ctx: Ctx, media_id: MediaId, query: Fetch) -> Redirect:
    """A medium, for those who may see it now: members of a chat where it was sent, whoever uploaded it
    until then, anybody for an avatar. Redirects to a link that is good for some minutes.
    """
    return Redirect(await viewing.link(ctx, media_id, query.variant))


async def details(ctx: Ctx, media_id: MediaId) -> Medium:
    """What is known of a medium, and links to it that a page can show."""
    return await viewing.details(ctx, media_id)


async def file(ctx: Ctx, media_id: MediaId, query: SignedFetch) -> Download:
    """The bytes of a medium, by a signed link; no token."""
    return await viewing.opened(ctx, media_id, query)


async def discard(ctx: Ctx, media_id: MediaId) -> None:
    """Take back what one has uploaded and not sent."""
    await service.discard(ctx, media_id)


async def wear(ctx: Ctx, body: WearAvatar) -> Avatar:
    """Show a picture that I have uploaded (``type`` avatar) in my profile; the one before goes."""
    return await avatars.wear(ctx, body.media_id)


async def take_off(ctx: Ctx) -> None:
    """Show no picture in my profile."""
    await avatars.take_off(ctx)


_HOUR = 3900.0
_FETCH = (MediaNotFound, Unauthenticated, RateLimited)
_UPLOAD = (MediaNotFound, MediaRejected, Conflict, TooLarge, RateLimited)

ROUTES = (
    post("/media", begin, raises=(TooLarge, RateLimited), limit="none"),
    put(
        "/media/{media_id}/upload",
        upload,
        raises=(*_UPLOAD, LinkInvalid),
        auth=False,
        limit="none",
        timeout_s=_HOUR,
    ),
    post("/media/{media_id}/complete", complete, status=200, raises=_UPLOAD, timeout_s=_HOUR),
    get("/media/{media_id}", fetch, status=302, raises=_FETCH, auth=False, limit="none"),
    get("/media/{media_id}/details", details, raises=_FETCH, auth=False, limit="none"),
    get("/media/{media_id}/file", file, raises=(MediaNotFound, LinkInvalid), auth=False, limit="none"),
    delete("/media/{media_id}", discard, status=204, raises=(MediaNotFound, Conflict), limit="none"),
    put("/users/me/avatar", wear, raises=(MediaNotFound, TooLarge, Conflict)),
    delete("/users/me/avatar", take_off, status=204),
)

COMMANDS: tuple[Command, ...] = ()
