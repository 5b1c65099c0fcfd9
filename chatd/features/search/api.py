"""The REST call of search."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, get
from chatd.features.search import service
from chatd.features.search.contract import Hits, SearchMessages


async def search_messages(ctx: Ctx, query: SearchMessages) -> Hits:
    """Search my chats by text, sender, chat, time and attachments; newest first."""
    return await service.search(ctx, query)


ROUTES = (get("/search/messages", search_messages),)
COMMANDS: tuple[Command, ...] = ()
