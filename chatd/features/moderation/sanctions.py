"""What moderators do: mute, put out and ban, in a chat and on the server; hide messages. All of it audited.

Functions with a ``tx`` are steps of a case's resolution too; they ask in the actor's name all the same.
"""

from datetime import datetime
from typing import Any

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Conflict, Forbidden, UserNotFound
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.audit import service as audit
from chatd.features.chats import service as chats
from chatd.features.messages import service as messages
from chatd.features.moderation import authority, filters_store
from chatd.features.moderation.contract import MemberMuted

# ------------------------------------------------------------------------------------------- in a chat


async def mute(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, until: datetime | None, reason: str | None
) -> None:
    """The member may read but not write, until then or (None) for ever.

    Raises ChatNotFound, Forbidden, UserNotFound.
    """
    await _set_mute(tx, ctx, chat_id, user_id, until or authority.FOR_EVER, reason)
    await _record(tx, ctx, "member.muted", user_id, chat_id, until=until, reason=reason)


async def unmute(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId) -> None:
    """The member may write again. Raises ChatNotFound, Forbidden, UserNotFound."""
    await _set_mute(tx, ctx, chat_id, user_id, None, None)
    await _record(tx, ctx, "member.unmuted", user_id, chat_id)


async def _set_mute(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, until: datetime | None, reason: str | None
) -> None:
    power = await authority.require_power(ctx, tx, chat_id)
    authority.require_member(await authority.require_over(ctx, tx, power, chat_id, user_id))
    await chats.mute(tx, chat_id, user_id, until)
    told = MemberMuted(chat_id=chat_id, muted_until=until, reason=reason)
    tx.after_commit(ctx.broker.to_users, [user_id], told)


async def kick(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, reason: str | None) -> None:
    """Put a member out, who may be let in again. Raises ChatNotFound, Forbidden, UserNotFound."""
    power = await authority.require_power(ctx, tx, chat_id)
    authority.require_own_members(power)
    authority.require_member(await authority.require_over(ctx, tx, power, chat_id, user_id))
    await chats.remove_member(tx, ctx, chat_id, user_id, by=ctx.actor.user_id, reason="removed")
    await _record(tx, ctx, "member.kicked", user_id, chat_id, reason=reason)


async def ban_from_chat(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, until: datetime | None, reason: str | None
) -> None:
    """Put the user out, if in, and let nobody let them in again until then or (None) for ever.

    Raises ChatNotFound, Forbidden, UserNotFound.
    """
    power = await authority.require_power(ctx, tx, chat_id)
    authority.require_own_members(power)
    await authority.require_over(ctx, tx, power, chat_id, user_id)
    by = ctx.actor.user_id
    await chats.save_ban(tx, ctx, chat_id, user_id, by=by, until=until, reason=reason)
    await chats.remove_member(tx, ctx, chat_id, user_id, by=by, reason="banned")
    await _record(tx, ctx, "member.banned", user_id, chat_id, until=until, reason=reason)


async def unban_from_chat(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId) -> None:
    """The user may be let in again; nothing where there was no ban. Raises ChatNotFound, Forbidden."""
    authority.require_own_members(await authority.require_power(ctx, tx, chat_id))
    if await chats.lift_ban(tx, chat_id, user_id):
        await _record(tx, ctx, "member.unbanned", user_id, chat_id)


async def hide(tx: Tx, ctx: Ctx, chat_id: ChatId, message_id: MessageId, reason: str | None) -> None:
    """Show nobody what a message says. Raises ChatNotFound, MessageNotFound, Forbidden, Conflict."""
    await _moderate(tx, ctx, chat_id, message_id, "hidden", reason)


async def restore(tx: Tx, ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> None:
    """Show a hidden or flagged message again. Raises as ``hide`` does."""
    await _moderate(tx, ctx, chat_id, message_id, "visible", None)


async def _moderate(
    tx: Tx, ctx: Ctx, chat_id: ChatId, message_id: MessageId, status: str, reason: str | None
) -> None:
    power = await authority.require_power(ctx, tx, chat_id)
    subject = await messages.find_subject(tx, chat_id, message_id)
    if subject.is_system:
        raise Forbidden("What happened to the chat is not hidden")
    if subject.deleted:
        raise Conflict("This message was deleted")
    try:
        await authority.require_over(ctx, tx, power, chat_id, subject.sender_id)
    except Forbidden:
        if subject.sender_id != ctx.actor.user_id:  # one's own words one may hide
            raise
    except UserNotFound:
        pass  # the account is gone, what it said is not
    changed = await messages.moderate(
        tx,
        ctx,
        chat_id,
        message_id,
        status,  # type: ignore[arg-type]
        reason=reason,
        by=ctx.actor.user_id,
    )
    if changed:
        action = "message.hidden" if status == "hidden" else "message.restored"
        await audit.record(
            tx, ctx.actor.user_id, action, target=("message", message_id), chat_id=chat_id, reason=reason
        )


async def require_sees_bans(ctx: Ctx, chat_id: ChatId) -> None:
    """Raises ChatNotFound, Forbidden."""
    async with ctx.db.transaction() as tx:
        await authority.require_power(ctx, tx, chat_id)


# ---------------------------------------------------------------------------------------- on the server


async def ban_from_server(
    tx: Tx, ctx: Ctx, user_id: UserId, until: datetime | None, reason: str | None
) -> None:
    """End every session, close every socket on every node with 4403, and let nobody in until then.

    Raises Forbidden, UserNotFound.
    """
    await authority.require_over_account(ctx, tx, user_id)
    await accounts.ban(tx, ctx, user_id, until=until, reason=reason or "banned")
    await _record(tx, ctx, "user.banned", user_id, None, until=until, reason=reason)


async def unban_from_server(tx: Tx, ctx: Ctx, user_id: UserId) -> None:
    """May log in again; nothing where there was no ban. Raises Forbidden, UserNotFound."""
    await authority.require_over_account(ctx, tx, user_id)
    if await accounts.unban(tx, ctx, user_id):
        await _record(tx, ctx, "user.unbanned", user_id, None)


async def mute_on_server(
    tx: Tx, ctx: Ctx, user_id: UserId, until: datetime | None, reason: str | None
) -> None:
    """May read but not write anywhere; every node knows within 2 s (the job moderation.filters).

    Raises Forbidden, UserNotFound.
    """
    await authority.require_over_account(ctx, tx, user_id)
    await filters_store.save_mute(tx, user_id, ctx.actor.user_id, until, reason)
    await _record(tx, ctx, "user.muted", user_id, None, until=until, reason=reason)


async def unmute_on_server(tx: Tx, ctx: Ctx, user_id: UserId) -> None:
    """May write again; nothing where there was no mute. Raises Forbidden, UserNotFound."""
    await authority.require_over_account(ctx, tx, user_id)
    if await filters_store.delete_mute(tx, user_id):
        await _record(tx, ctx, "user.unmuted", user_id, None)


async def kick_from_server(tx: Tx, ctx: Ctx, user_id: UserId, reason: str | None) -> None:
    """End every session; the user may log in again. Raises Forbidden, UserNotFound."""
    await authority.require_over_account(ctx, tx, user_id)
    ended = await accounts.end_sessions(tx, ctx, user_id, reason="kicked")
    await _record(tx, ctx, "user.kicked", user_id, None, sessions=ended, reason=reason)


async def _record(
    tx: Tx, ctx: Ctx, action: str, user_id: UserId, chat_id: ChatId | None, **detail: Any
) -> None:
    await audit.record(tx, ctx.actor.user_id, action, target=("user", user_id), chat_id=chat_id, **detail)
