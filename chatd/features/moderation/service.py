"""What boot asks of moderation; other rooms ask nothing of it."""

from chatd.core.context import Ctx
from chatd.features.moderation.filters import refresh


async def prepare(ctx: Ctx) -> None:
    """Have the filters on this node before the first text comes. Raises StoreUnavailable."""
    await refresh(ctx)
