"""What the filters (``ctx.screen``) say of texts before they are stored, and what follows for senders."""

from collections.abc import Sequence
from datetime import timedelta

from chatd.core.context import Ctx, Judgement
from chatd.core.errors import AppError, Blocked, Muted, UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.audit import service as audit
from chatd.features.chats import service as chats


async def judge(ctx: Ctx, texts: Sequence[tuple[UserId, str]]) -> dict[int, Judgement]:
    """The places, from 0, of the (sender, text) that there is something to say of."""
    return await ctx.screen.judge(ctx.limiter, texts)


async def require_allowed(ctx: Ctx, chat_id: ChatId, text: str) -> Judgement | None:
    """For one text of the actor: what to store it as, where it is not plainly visible.

    Raises Blocked or Muted where it is not stored; who is silenced is silenced then.
    """
    judgement = (await judge(ctx, [(ctx.actor.user_id, text)])).get(0)
    if judgement is not None and judgement.status == "silenced":
        await silence(ctx, chat_id, ctx.actor.user_id, judgement)
    error = refusal(judgement)
    if error is not None:
        raise error
    return judgement


def refusal(judgement: Judgement | None) -> AppError | None:
    """What a sender is told whose text is not stored; it does not say which filter it was."""
    if judgement is None or judgement.status in ("flagged", "hidden"):
        return None
    if judgement.status == "refused":
        return Blocked("This server does not take messages like this one")
    return Muted("You are muted" if judgement.status == "muted" else None)


async def silence(ctx: Ctx, chat_id: ChatId, user_id: UserId, judgement: Judgement) -> None:
    """Mute a member for as long as the filter says, and write that down."""
    until = ctx.clock.now() + timedelta(seconds=judgement.silence_s)
    async with ctx.db.transaction() as tx:
        try:
            await chats.mute(tx, chat_id, user_id, until)
        except UserNotFound:
            return  # has left meanwhile
        await audit.record(
            tx,
            None,
            "member.muted",
            target=("user", user_id),
            chat_id=chat_id,
            until=until,
            filter=judgement.reason,
        )
