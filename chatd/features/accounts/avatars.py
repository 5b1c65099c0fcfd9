"""What a profile shows of its user, for the room that has the pictures."""

from chatd.core.context import Ctx, Tx
from chatd.core.errors import UserNotFound
from chatd.core.ids import MediaId, UserId
from chatd.features.accounts import avatars_store as store


async def lock_profile(tx: Tx, user_id: UserId) -> None:
    """Nobody changes this profile until the transaction ends. Raises UserNotFound."""
    if await store.lock_profile(tx, user_id) is None:
        raise UserNotFound


async def already_shows(tx: Tx, user_id: UserId, url: str | None) -> bool:
    """Whether the user's profile, which is held until the transaction ends, shows this already: what a GET
    told may be sent back as it is, also where it is a medium of ours, and changes nothing.
    """
    await lock_profile(tx, user_id)
    return url is not None and await store.shows(tx, user_id, url)


async def set_avatar(tx: Tx, ctx: Ctx, user_id: UserId, media_id: MediaId | None, url: str | None) -> None:
    """The user's profile shows this medium of theirs, which is held for that, or none."""
    await store.set_avatar(tx, user_id, media_id, url, ctx.clock.now())
