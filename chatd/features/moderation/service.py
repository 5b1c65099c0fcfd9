"""What other rooms may ask of moderation, and what its own api and jobs are made of."""

from chatd.core.context import Ctx, Queries
from chatd.core.ids import ChatId
from chatd.features.moderation import store
from chatd.features.moderation.authority import require_admin, require_staff
from chatd.features.moderation.cases import report
from chatd.features.moderation.filters import refresh

__all__ = ("prepare", "report", "require_admin", "require_staff", "toxicity_flags")


async def toxicity_flags(q: Queries, chat_id: ChatId) -> int:
    """How much of what was said in a chat stands accused with reason: found by a filter or the classifier
    and not dismissed, or reported and dealt with. A report alone counts for nothing: anybody can make one.
    """
    return await store.count_flags(q, chat_id)


async def prepare(ctx: Ctx) -> None:
    """Have the filters on this node before the first text comes. Raises StoreUnavailable."""
    await refresh(ctx)
