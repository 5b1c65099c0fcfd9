"""SQL of devices and of what is to be pushed to them: one function, one statement."""

from datetime import datetime, time

from chatd.core.context import Queries
from chatd.features.devices.contract import Device, NotificationSettings

# ------------------------------------------------------------------------------------------------ devices


async def save_device(
    db: Queries,
    device_id: str,
    user_id: str,
    session_id: str,
    provider: str,
    token: str,
    token_hash: bytes,
    p256dh: bytes | None,
    auth: bytes | None,
    name: str | None,
    now: datetime,
) -> Device | None:
    """A new device, or the user's own one anew; None where the token is another account's."""
    return await db.maybe(
        Device,
        """
        INSERT INTO push_devices AS d (id, user_id, session_id, provider, token, token_hash, p256dh, auth,
                                       name, created_at, registered_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
        ON CONFLICT (provider, token_hash) DO UPDATE SET
            session_id = excluded.session_id, p256dh = excluded.p256dh, auth = excluded.auth,
            name = excluded.name, registered_at = excluded.registered_at
        WHERE d.user_id = excluded.user_id
        RETURNING id, provider, name, created_at, registered_at
        """,
        device_id,
        user_id,
        session_id,
        provider,
        token,
        token_hash,
        p256dh,
        auth,
        name,
        now,
    )


async def drop_foreign(db: Queries, provider: str, token_hash: bytes, user_id: str) -> int:
    """The device where it is another account's, with all that waits for it there."""
    return await db.run(
        "DELETE FROM push_devices WHERE provider = $1 AND token_hash = $2 AND user_id <> $3",
        provider,
        token_hash,
        user_id,
    )


async def drop_oldest(db: Queries, user_id: str, keep: int) -> int:
    return await db.run(
        """
        DELETE FROM push_devices WHERE id IN (
            SELECT id FROM push_devices WHERE user_id = $1 ORDER BY registered_at DESC, id DESC OFFSET $2
        )
        """,
        user_id,
        keep,
    )


async def devices_of(db: Queries, user_id: str, now: datetime) -> list[Device]:
    """Those whose session goes on, newest first."""
    return await db.rows(
        Device,
        """
        SELECT d.id, d.provider, d.name, d.created_at, d.registered_at
        FROM push_devices d JOIN sessions s ON s.id = d.session_id
        WHERE d.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2
        ORDER BY d.registered_at DESC, d.id DESC
        """,
        user_id,
        now,
    )


async def delete_device(db: Queries, user_id: str, device_id: str | None) -> int:
    """This device of the user, or all of them."""
    return await db.run(
        "DELETE FROM push_devices WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2)", user_id, device_id
    )


async def delete_gone(db: Queries, device_id: str, registered_at: datetime) -> int:
    """A device that nobody is behind any more, unless it has registered again meanwhile."""
    return await db.run(
        "DELETE FROM push_devices WHERE id = $1 AND registered_at = $2", device_id, registered_at
    )


# ----------------------------------------------------------------------------------------------- settings


async def find_settings(db: Queries, user_id: str) -> NotificationSettings | None:
    return await db.maybe(
        NotificationSettings,
        """
        SELECT push, preview, email, quiet_from, quiet_until, off_types
        FROM notification_settings WHERE user_id = $1
        """,
        user_id,
    )


async def save_settings(
    db: Queries,
    user_id: str,
    push: bool | None,
    preview: bool | None,
    email: str | None,
    quiet: bool,
    quiet_from: time | None,
    quiet_until: time | None,
    off_types: list[str] | None,
) -> NotificationSettings:
    """What is None stays; the quiet hours stay unless ``quiet``."""
    return await db.one(
        NotificationSettings,
        """
        INSERT INTO notification_settings AS s
            (user_id, push, preview, email, quiet_from, quiet_until, off_types)
        VALUES ($1, coalesce($2, true), coalesce($3, true), coalesce($4, 'off'), $6, $7,
                coalesce($8::text[], '{}'))
        ON CONFLICT (user_id) DO UPDATE SET
            push = coalesce($2, s.push),
            preview = coalesce($3, s.preview),
            email = coalesce($4, s.email),
            quiet_from = CASE WHEN $5 THEN $6 ELSE s.quiet_from END,
            quiet_until = CASE WHEN $5 THEN $7 ELSE s.quiet_until END,
            off_types = coalesce($8, s.off_types)
        RETURNING push, preview, email, quiet_from, quiet_until, off_types
        """,
        user_id,
        push,
        preview,
        email,
        quiet,
        quiet_from,
        quiet_until,
        off_types,
    )
