"""AsyncAPI 3.0 of the socket, from the commands, the events and the close codes that are served.

Deterministic, as openapi.py is, and for the same reason.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from chatd import __version__
from chatd.core.declarations import Command
from chatd.core.errors import (
    AppError,
    BadFrame,
    Banned,
    Internal,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownType,
    ValidationFailed,
)
from chatd.rest.described import by_code, doc, errors_section, schemas
from chatd.wire.frames import (
    Ack,
    AuthRefresh,
    CloseCode,
    ConnectionInit,
    ConnectionReady,
    Drain,
    ErrorFrame,
    Ping,
    Pong,
    SyncComplete,
)

Json = dict[str, Any]
Struct = type[msgspec.Struct]

#: What a client does on each close code (protocol.md, section 3).
CLOSE_CODES: Final = {
    CloseCode.GOING_AWAY: "The server goes away. Come back, to another node if there is one.",
    CloseCode.BROKEN: "Broken framing, or too many frames that decode to nothing. A defect of the client.",
    CloseCode.UNAUTHENTICATED: "The token is missing, invalid, expired or revoked. Come back with a new one.",
    CloseCode.BANNED: "The account is banned. Do not come back.",
    CloseCode.TIMEOUT: "No connection.init in time, or two heartbeats missed. Come back with `since`.",
    CloseCode.TOO_LARGE: "A frame was larger than `max_frame_bytes`.",
    CloseCode.FLOOD: "Flooding went on for 30 s past a limit. Come back later, and slower.",
    CloseCode.DRAINING: "This node drains. Come back after `reconnect_after_ms` of `system.drain`.",
    CloseCode.SLOW_CONSUMER: "Frames were not read fast enough. Come back with `since`; nothing is lost.",
}
#: Commands of the session itself, which belong to no room, and what answers them.
SESSION: Final[dict[Struct, tuple[Struct, ...]]] = {
    ConnectionInit: (ConnectionReady, SyncComplete),
    AuthRefresh: (Ack,),
    Ping: (Pong,),
}
_FRAMES: Final[tuple[Struct, ...]] = (Ack, ConnectionReady, Drain, ErrorFrame, Pong, SyncComplete)
_ALWAYS: Final = (
    BadFrame,
    UnknownType,
    ValidationFailed,
    TooLarge,
    Unauthenticated,
    Banned,
    Unavailable,
    Internal,
)
_DESCRIPTION: Final = """\
Chat and presence over WebSocket: text frames, one JSON object each, whose `type` says which. The first \
frame is `connection.init`; the token may also come as `?token=` or as `Authorization: Bearer` on the \
upgrade. The subprotocol `chatd.v1` is echoed where it is offered.

Any command may have an `id`; its answer has it as `re`. An error answers one command, a close code ends the \
socket. REST is described in [/openapi.json](/openapi.json)."""


def document(commands: Sequence[Command], events: Sequence[Struct]) -> Json:
    """The whole document. ``events`` are the rooms' events; the frames of the wire itself are added."""
    declared = {command.struct: command for command in commands}
    taken = sorted({*SESSION, *declared}, key=_tag)
    answers = {answer for command in commands for answer in command.answers}
    sent = sorted({*_FRAMES, *events, *answers}, key=_sort_key)
    kinds, components = schemas([*taken, *sent])
    names = _names(taken, sent)
    errors: set[type[AppError]] = {
        *_ALWAYS,
        RateLimited,
        *(error for command in commands for error in command.raises),
    }
    channels = {
        "socket": _channel("/ws", "All chats of the user.", names),
        "chat": _channel("/chats/{chat_id}", "One chat alone; commands may leave `chat_id` out.", names)
        | {"parameters": {"chat_id": {"description": "The chat's id, a TypeID: `cht_…`."}}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "chatd", "version": __version__, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8080",
                "protocol": "ws",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": channels,
        "operations": _operations(taken, sent, declared, names),
        "components": {
            "messages": {names[struct]: _message(struct, kinds[struct]) for struct in [*taken, *sent]},
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "x-close-codes": {str(int(code)): CLOSE_CODES[code] for code in CloseCode},
        "x-errors": errors_section(errors),
    }


def _tag(struct: Struct) -> str:
    return str(struct.__struct_config__.tag)


def _sort_key(struct: Struct) -> tuple[str, str]:
    return _tag(struct), struct.__name__


def _names(taken: Sequence[Struct], sent: Sequence[Struct]) -> dict[Struct, str]:
    """The name of each message: its tag; where a tag has two shapes (ack, typing), the struct's with it."""
    names: dict[Struct, str] = {}
    used: set[str] = set()
    for struct in [*taken, *sent]:
        name = _tag(struct) if _tag(struct) not in used else f"{_tag(struct)}-{struct.__name__}"
        used.add(name)
        names[struct] = name
    return names


def _message(struct: Struct, schema: Json) -> Json:
    text = doc(struct)
    return {
        "name": _tag(struct),
        "title": struct.__name__,
        "summary": text.split("\n\n")[0],
        "payload": schema,
    }


def _channel(address: str, summary: str, names: dict[Struct, str]) -> Json:
    token = {"type": "object", "properties": {"token": {"type": "string", "description": "An access token."}}}
    return {
        "address": address,
        "summary": summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names.values()},
        "bindings": {"ws": {"method": "GET", "query": token, "bindingVersion": "0.1.0"}},
    }


def _operations(
    taken: Sequence[Struct], sent: Sequence[Struct], declared: dict[Struct, Command], names: dict[Struct, str]
) -> Json:
    """One operation for each command on the user's socket, one for the events; both at once on a chat's."""
    operations: Json = {}
    for struct in taken:
        command = declared.get(struct)
        answers = (command.answers or (Ack,)) if command else SESSION[struct]
        errors: set[type[AppError]] = {*_ALWAYS, *(command.raises if command else ())}
        if command is None or command.counted:
            errors.add(RateLimited)
        operations[f"take.{names[struct]}"] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/socket"},
            "summary": doc(struct).split("\n\n")[0],
            "messages": _refs("socket", [struct], names),
            "reply": {
                "channel": {"$ref": "#/channels/socket"},
                "messages": _refs("socket", [*answers, ErrorFrame], names),
            },
            "x-errors": list(by_code(errors)),
        }
    for channel in ("socket", "chat"):
        operations[f"send.{channel}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": "Answers and events, those of a chat in the order of their `seq`.",
            "messages": _refs(channel, sent, names),
        }
    operations["take.chat"] = {
        "action": "receive",
        "channel": {"$ref": "#/channels/chat"},
        "summary": "The same commands, for this chat.",
        "messages": _refs("chat", taken, names),
    }
    return operations


def _refs(channel: str, structs: Sequence[Struct], names: dict[Struct, str]) -> list[Json]:
    return [{"$ref": f"#/channels/{channel}/messages/{names[struct]}"} for struct in structs]
