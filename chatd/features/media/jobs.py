"""What nothing uses goes."""

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.features.media import service


async def collect(ctx: Ctx) -> None:
    """Media that were not sent in time, whose message was deleted, or that were taken back."""
    await service.collect(ctx)


async def tidy(ctx: Ctx) -> None:
    """What uploads that were cut off have left on this machine."""
    await ctx.objects.tidy()


JOBS = (
    Job("media.collect", 10.0, collect),
    Job("media.tidy", 600.0, tidy, everywhere=True),
)
