"""SQL of what a profile shows of its user: one function, one statement."""

from datetime import datetime

from chatd.core.context import Tx
from chatd.core.ids import UserId


async def lock_profile(tx: Tx, user_id: str) -> UserId | None:
    """Nobody changes this user until the transaction ends."""
    return await tx.maybe(UserId, "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)


async def shows(tx: Tx, user_id: str, url: str) -> bool:
    """Whether this is the picture of the user."""
    return await tx.one(
        bool, "SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND avatar_url = $2)", user_id, url
    )


async def set_avatar(tx: Tx, user_id: str, media_id: str | None, url: str | None, now: datetime) -> None:
    """The picture of a user, here as a medium of ours."""
    await tx.run(
        "UPDATE users SET avatar_media_id = $2, avatar_url = $3, updated_at = $4 WHERE id = $1",
        user_id,
        media_id,
        url,
        now,
    )
