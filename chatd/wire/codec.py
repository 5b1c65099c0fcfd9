"""The only encoder and decoder of frames.

Server frames are not masked (RFC 6455, 5.1), so every recipient's bytes are the same bytes: ``frame``
makes the finished frame once, header included, and it may be joined and written to any number of sockets.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from chatd.core.errors import BadFrame, FieldError, UnknownType, ValidationFailed
from chatd.wire.frames import Command

_encode = msgspec.json.Encoder(decimal_format="number").encode
_TEXT, _TEXT_DEFLATED = 0x81, 0xC1  # FIN + text; FIN + RSV1 + text (RFC 7692, 6)

PING_FRAME = b"\x89\x00"


class _Envelope(msgspec.Struct):
    """What can be said of a command that did not decode: enough to answer it."""

    type: Any = None
    id: Any = None
    client_message_id: Any = None


class Refusal(Exception):
    """A frame that is no command: the error to answer with, and the refs to echo."""

    def __init__(
        self, error: Exception, re: str | None, client_message_id: str | None, type_: str = ""
    ) -> None:
        super().__init__(str(error))
        self.type_ = type_
        self.error = error
        self.re = re
        self.client_message_id = client_message_id


def frame(event: msgspec.Struct) -> bytes:
    """The finished, unmasked text frame of an event."""
    return frame_of(_encode(event))


def frame_of(payload: bytes) -> bytes:
    """The finished, unmasked text frame around a payload (RFC 6455, 5.2)."""
    return _header(_TEXT, len(payload)) + payload


def payloads(frames: bytes) -> list[bytes]:
    """The payloads of finished frames joined together, as ``frame_of`` made them."""
    found, at, end = [], 0, len(frames)
    while at < end:
        n, at = frames[at + 1], at + 2
        if n == 126:
            n, at = int.from_bytes(frames[at : at + 2], "big"), at + 2
        elif n == 127:
            n, at = int.from_bytes(frames[at : at + 8], "big"), at + 8
        found.append(frames[at : at + n])
        at += n
    return found


def deflated(frames: bytes) -> bytes:
    """The same frames for sockets with permessage-deflate (no context takeover: the same for all)."""
    out = []
    for payload in payloads(frames):
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        body = body[:-4]  # RFC 7692, 7.2.1: the empty block at the end is not sent
        out.append(_header(_TEXT_DEFLATED, len(body)) + body)
    return b"".join(out)


def _header(first: int, n: int) -> bytes:
    if n < 126:
        return bytes((first, n))
    if n < 65536:
        return bytes((first, 126)) + n.to_bytes(2, "big")
    return bytes((first, 127)) + n.to_bytes(8, "big")


class CommandDecoder:
    """Bytes of a text frame to a typed command."""

    def __init__(self, commands: Sequence[type[Command]]) -> None:
        union: Any = commands[0]
        for command in commands[1:]:
            union = union | command
        self._decode = msgspec.json.Decoder(union).decode
        self._envelope = msgspec.json.Decoder(_Envelope).decode
        self._types = {str(command.__struct_config__.tag) for command in commands}

    def __call__(self, data: bytes) -> Command:
        """The command in ``data``. Raises Refusal."""
        try:
            if not data.isascii():
                data.decode()  # what is not UTF-8 is no JSON, in fields that nobody knows either
            command: Command = self._decode(data)
            return command
        except msgspec.ValidationError as error:
            raise self._refusal(data, error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refusal(BadFrame(), None, None) from None

    def _refusal(self, data: bytes, error: msgspec.ValidationError) -> Refusal:
        # Failures are rare, so what is wrong is worked out a second time, slowly.
        try:
            seen = self._envelope(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Refusal(BadFrame(), None, None)
        re = seen.id if isinstance(seen.id, str) and len(seen.id) <= 64 else None
        cmid = seen.client_message_id
        if not isinstance(cmid, str) or len(cmid) > 64:
            cmid = None
        if not isinstance(seen.type, str):
            return Refusal(ValidationFailed.at("$.type", "a command needs a type"), re, cmid)
        if seen.type not in self._types:
            return Refusal(UnknownType(f"There is no command {seen.type[:64]!r}"), re, cmid)
        return Refusal(invalid(error), re, cmid, seen.type)


_MISSING = re.compile(r"Object missing required field `(.+)`")


def invalid(error: msgspec.ValidationError) -> ValidationFailed:
    """msgspec's "… - at `$.a.b`" as our error with the path of the field that is wrong.

    A field that is missing is named itself (msgspec names the object that lacks it), a key by the object
    that has it, and the values of an object by ``[*]``.
    """
    text, _, path = str(error).partition(" - at `")
    path = path.removeprefix("key` in `").rstrip("`").replace("[...]", "[*]") or "$"
    if missing := _MISSING.fullmatch(text):
        path += f".{missing[1]}"
    return ValidationFailed(f"{path}: {text}", errors=(FieldError(path, text),))
