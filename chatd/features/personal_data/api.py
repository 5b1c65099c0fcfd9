"""REST of personal data."""

from typing import Annotated

from msgspec import Meta

from chatd.core.context import Ctx
from chatd.core.declarations import Command, delete, get, post
from chatd.core.errors import Forbidden, NotFound, RateLimited, Unavailable
from chatd.features.personal_data import service
from chatd.features.personal_data.contract import (
    DeleteAccount,
    Deleting,
    Export,
    ExportId,
    ExportPart,
    PartQuery,
)

PartNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]


async def delete_account(ctx: Ctx, body: DeleteAccount | None) -> Deleting:
    """Delete my account: no way in from now on, and tombstones for what I said."""
    await service.delete_account(ctx, body.password if body is not None else None)
    return Deleting()


async def ask(ctx: Ctx) -> Export:
    """Ask for a copy of all that is held of me."""
    return await service.ask(ctx)


async def find(ctx: Ctx, export_id: ExportId) -> Export:
    """How far the copy is."""
    return await service.find(ctx, export_id)


async def part(ctx: Ctx, export_id: ExportId, number: PartNumber, query: PartQuery) -> ExportPart:
    """A piece of it, once it is ready."""
    return await service.part(ctx, export_id, number, query.format)


ROUTES = (
    delete(
        "/users/me",
        delete_account,
        status=202,
        limit="none",
        raises=(Forbidden, RateLimited, Unavailable),
    ),
    post("/users/me/export", ask, status=202, limit="none", raises=(RateLimited,)),
    get("/users/me/export/{export_id}", find, raises=(NotFound,)),
    get("/users/me/export/{export_id}/parts/{number}", part, raises=(NotFound,)),
)
COMMANDS: tuple[Command, ...] = ()
