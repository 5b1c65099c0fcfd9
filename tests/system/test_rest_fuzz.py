"""The whole REST API against its own document, with input that hypothesis makes up (schemathesis).

No input makes a 500 or an answer that /openapi.json does not describe.
"""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chatd import catalog
from chatd.embedded import Embedded
from chatd.rest import openapi
from tests.system.conftest import UNLIMITED
from tests.system.fuzzing import own_world
from tests.system.world import World
from tests.waiting import PATIENCE_S

SCHEMA = schemathesis.openapi.from_dict(openapi.document(catalog.ROUTES))
OPERATIONS = {op.ok().label: op.ok() for op in SCHEMA.get_all_operations()}
# The server on the other thread jitters its waits; hypothesis takes that for a strategy's randomness.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: What would end the session that asks, or hangs on purpose.
LEFT_OUT = ("POST /auth/logout",)


class Served:
    """A node on a thread of its own: schemathesis is not asynchronous."""

    def __init__(self, services: Embedded) -> None:
        self._ready = threading.Event()
        self._services = services
        self.url, self.token = "", ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with own_world(self._services, UNLIMITED) as world:
            self.url, self.token = world.url(), await self._talk(world)
            self._ready.set()
            await self._stop.wait()

    async def _talk(self, world: World) -> str:
        ann, bob = await world.users(2)
        chat = await world.group(ann, bob)
        await (await world.phone(ann)).say(chat, "hello")
        return world.token(ann)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def served(services: Embedded) -> Iterator[Served]:
    """The real app with a user who has a chat."""
    made = Served(services)
    yield made
    made.stop()


@pytest.mark.parametrize("label", [name for name in sorted(OPERATIONS) if name not in LEFT_OUT])
def test_no_input_makes_a_500_or_an_answer_that_is_not_described(served: Served, label: str) -> None:
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy())
    def ask(case: Any) -> None:
        response = case.call(
            base_url=served.url, headers={"Authorization": f"Bearer {served.token}"}, timeout=PATIENCE_S
        )
        case.validate_response(response, checks=CHECKS)

    ask()
