"""A member's own wishes for a chat: muted, pinned, archived, what to be told of. Nobody else sees them."""

from msgspec import UNSET

from chatd.core.context import Ctx, Queries
from chatd.core.errors import ValidationFailed
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import store
from chatd.features.chats.contract import ChatSettings, ChatSettingsChanged, PutChatSettings
from chatd.features.chats.views import require_seat

DEFAULTS = ChatSettings(False, None, False, False, "all")


async def settings_of(q: Queries, chat_id: ChatId, user_id: UserId) -> ChatSettings:
    """This member's settings, the defaults where none were made."""
    return await store.find_settings(q, chat_id, user_id) or DEFAULTS


async def show_settings(ctx: Ctx, chat_id: ChatId) -> ChatSettings:
    """The actor's settings. Raises ChatNotFound."""
    await require_seat(ctx.db, chat_id, ctx.actor.user_id)
    return await settings_of(ctx.db, chat_id, ctx.actor.user_id)


async def change_settings(ctx: Ctx, chat_id: ChatId, wish: PutChatSettings) -> ChatSettings:
    """Change what the wish names; the actor's devices hear of it. Raises ChatNotFound, ValidationFailed."""
    me = ctx.actor.user_id
    until = wish.muted_until or None
    if wish.muted is False and until is not None:
        raise ValidationFailed.at("$.muted_until", "a chat that is not muted has no end of it")
    async with ctx.db.transaction() as tx:
        await require_seat(tx, chat_id, me)
        await store.save_settings(
            tx,
            chat_id,
            me,
            muting=wish.muted is not UNSET or wish.muted_until is not UNSET,
            muted=until is not None if wish.muted is UNSET else wish.muted,
            muted_until=until,
            pinned=None if wish.pinned is UNSET else wish.pinned,
            archived=None if wish.archived is UNSET else wish.archived,
            notifications=None if wish.notifications is UNSET else wish.notifications,
        )
        settings = await settings_of(tx, chat_id, me)
        tx.after_commit(ctx.broker.to_users, [me], ChatSettingsChanged(chat_id=chat_id, settings=settings))
    return settings
