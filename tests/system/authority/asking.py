"""Asking a row of the table, and what was answered in one word."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.system.authority.asks import Ask, Values
from tests.system.authority.cast import ACTORS, Actor
from tests.system.authority.scene import Scene
from tests.system.authority.state import state
from tests.system.world import Phone

#: Words of the table for what is answered often; anything else stands there by its code.
WORDS = {
    "unauthenticated": "401",
    "forbidden": "403",
    "not_found": "404",
    "chat_not_found": "no-chat",
    "message_not_found": "no-msg",
    "user_not_found": "no-user",
    "media_not_found": "no-media",
    "gp_not_a_member": "not-in",
    "gp_not_found": "no-gp",
    "link_invalid": "no-link",
    "media_rejected": "rejected",
    "validation_failed": "422",
}
_CLOSED = {4401: "401", 4403: "banned"}
#: Answers to those who were let in, though what they brought may be of no use.
LET_IN = {"ok", "rejected"}
Answer = Callable[[Scene, str, Actor, Values], Awaitable[str]]


def subject(label: str) -> str:
    """The route or command of a row."""
    return label.partition(" · ")[0]


async def row(scene: Scene, label: str, ask: Ask, expected: dict[str, str], answer: Answer) -> list[str]:
    """Ask everybody; what was answered otherwise than expected, as lines.

    Those who shall be refused are asked first: between two looks at the tables, which must not differ.
    """
    wrong = []
    refused = [role for role in ACTORS if expected[role] not in LET_IN]
    prepared = [(role, *await _prepared(scene, ask, role)) for role in refused]
    before = await state(scene.db)
    for role, actor, values in prepared:
        wrong += _compared(label, role, expected, await answer(scene, label, actor, values))
    after = await state(scene.db)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        wrong.append(f"{label}: refusing it changed {', '.join(changed)}")
    for role in ACTORS:
        if role not in refused:
            actor, values = await _prepared(scene, ask, role)
            wrong += _compared(label, role, expected, await answer(scene, label, actor, values))
    return wrong


async def _prepared(scene: Scene, ask: Ask, role: str) -> tuple[Actor, Values]:
    actor = await scene.another(role) if ask.alone else scene.cast[role]
    return actor, await ask.prepare(scene, actor)


def _compared(label: str, role: str, expected: dict[str, str], got: str) -> list[str]:
    return [] if got == expected[role] else [f"{label} as {role}: {got} instead of {expected[role]}"]


async def of_route(scene: Scene, label: str, actor: Actor, values: Values) -> str:
    """The answer of a REST call."""
    method, path = subject(label).split(" ")
    where = re.sub(r"{(\w+)}", lambda name: str(values[name[1]]), path)
    query = f"?{values['query']}" if "query" in values else ""
    status, body = await scene.ask(actor, method, f"/api{where}{query}", values.get("body"))
    if status < 400:
        return "ok"
    return _word(body["code"] if isinstance(body, dict) else str(status))


async def of_command(scene: Scene, label: str, actor: Actor, values: Values) -> str:
    """The answer to a command on an open socket, or how the socket was closed before it."""
    return await _on_socket(scene, "/ws", actor, subject(label), values)


async def of_chat_socket(scene: Scene, label: str, actor: Actor, values: Values) -> str:
    """The same on the socket of one chat."""
    return await _on_socket(scene, values.pop("path"), actor, subject(label), values)


async def _on_socket(scene: Scene, path: str, actor: Actor, type_: str, values: Values) -> str:
    socket = await scene.world.raw(path)
    try:
        if actor.user_id:
            await socket.send(json.dumps({"type": "connection.init", "token": scene.token(actor)}))
            first = json.loads(await socket.recv())
            if first["type"] == "error":
                return _word(first["code"])
        phone = Phone(socket, actor.user_id)
        answer = await _answer(phone, type_, values)
        return _word(answer["code"]) if answer["type"] == "error" else "ok"
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 0
        return _CLOSED.get(code, str(code))
    finally:
        await socket.close()


async def _answer(phone: Phone, type_: str, values: Values) -> dict[str, Any]:
    """What comes back to a command; a closed socket is raised as such."""
    try:
        return await phone.call(type_, **values)
    except AssertionError:
        await phone.closed()
        await phone.socket.recv()
        raise


def _word(code: str) -> str:
    return WORDS.get(code, code)
