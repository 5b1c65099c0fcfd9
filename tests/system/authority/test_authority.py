"""Every route, every command and the one-chat socket, asked as eleven kinds of people (table.py).

What is refused must leave no trace: the tables are the same afterwards, row for row.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from chatd import catalog
from chatd.core.settings import Gp, Media, Server, Settings
from tests.system.authority import asking, commands, routes, table
from tests.system.authority.scene import Scene
from tests.system.world import world

#: Commands that the gateway answers itself.
BUILT_IN = {"auth.refresh", "ping"}


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    """A node without rates, and everybody in their place."""
    settings = msgspec.structs.replace(
        settings,
        gp=Gp(min_active_groups=10_000, daily_limit=100, cooldown_s=0, moves_per_hour=0),
        media=Media(uploads_per_minute=0, fetches_per_minute=0),
        server=Server(data_dir=str(tmp_path)),
    )
    async with world(settings, 1) as made:
        scene = Scene(made)
        await scene.open()
        yield scene


def test_every_route_and_command_has_a_row_and_every_row_a_question() -> None:
    known = {f"{route.method} {route.path}" for route in catalog.ROUTES}
    assert {asking.subject(label) for label in table.ROUTES} == known
    known = {command.type for command in catalog.COMMANDS} | BUILT_IN
    assert {asking.subject(label) for label in table.COMMANDS} == known
    assert table.ROUTES.keys() == routes.ROUTES.keys()
    assert table.COMMANDS.keys() == commands.COMMANDS.keys()
    assert table.CHAT_SOCKET.keys() == commands.CHAT_SOCKET.keys()


@pytest.mark.parametrize("part", table.PARTS)
async def test_routes_answer_each_as_the_table_says(scene: Scene, part: str) -> None:
    wrong = []
    for label, expected in table.PARTS[part].items():
        wrong += await asking.row(scene, label, routes.ROUTES[label], expected, asking.of_route)
    assert not wrong, "\n".join(wrong)


async def test_commands_answer_each_as_the_table_says(scene: Scene) -> None:
    wrong = []
    for label, expected in table.COMMANDS.items():
        wrong += await asking.row(scene, label, commands.COMMANDS[label], expected, asking.of_command)
    for label, expected in table.CHAT_SOCKET.items():
        wrong += await asking.row(scene, label, commands.CHAT_SOCKET[label], expected, asking.of_chat_socket)
    assert not wrong, "\n".join(wrong)
