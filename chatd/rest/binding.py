"""From an HTTP request to a handler's arguments, and from its result to an answer.

A handler's annotations are compiled once, when the application is built (``core.declarations`` has the
rules). The query string is read here from the request's own bytes, not by aiohttp, which replaces what
it cannot decode; whatever is not valid is refused with the place it stands at.
"""

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web

from chatd.core.declarations import Answer, Download, Incoming, Redirect, Route
from chatd.core.errors import (
    BadFrame,
    BadRequest,
    RequestTimeout,
    TooLarge,
    UnsupportedMedia,
    ValidationFailed,
)
from chatd.rest.raw import BODY_TIMEOUT_S, ClientGone, FileAnswer, RawBody
from chatd.wire.codec import invalid

JSON = "application/json"
_encode = msgspec.json.Encoder(decimal_format="number").encode
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# An escaped NUL whose backslash is not itself escaped.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# How text has to be written that stands for a number or a time. msgspec reads more: 1e3 and 1.0 as whole
# numbers, nan as a number, seconds since 1970 as a time, and null as nothing.
_FORMS = {
    int: (re.compile(r"-?[0-9]+"), "expected a whole number in decimal digits"),
    float: (re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?"), "expected a number"),
    datetime: (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*"), "expected a time (RFC 3339)"),
}


class Binding:
    """One route's way in and out. Raises TypeError for a handler that its path does not fit."""

    def __init__(self, route: Route, *, max_body: int) -> None:
        self.route, self.max_body = route, max_body
        hints = route.hints()
        names = list(inspect.signature(route.handler).parameters)
        self.path_names = tuple(re.findall(r"{(\w+)}", route.path))
        unknown = set(names[1:]) ^ ({*self.path_names} | {"body", "query"} & set(names))
        if unknown:
            raise TypeError(
                f"{route.method} {route.path}: its handler and its path disagree on {sorted(unknown)}"
            )
        self.path_type = msgspec.defstruct("Path", [(name, hints[name]) for name in self.path_names])
        self.query_type: Any = hints.get("query")
        self.lists = _list_fields(self.query_type) if self.query_type is not None else {}
        self.path_forms = _forms(self.path_type)
        self.query_forms = _forms(self.query_type) if self.query_type is not None else {}
        self.body_type: Any = hints.get("body")
        self.body_optional = self.body_type is not None and NoneType in get_args(self.body_type)
        self._decode: Callable[[bytes], Any] | None = None
        self.raw = self.body_type is Incoming
        if self.body_type is not None and not self.raw:
            self._decode = msgspec.json.Decoder(self.body_type).decode

    async def arguments(self, request: web.Request) -> dict[str, Any]:
        """The handler's keyword arguments. Raises ValidationFailed and other AppErrors of status 4xx."""
        found: dict[str, Any] = {}
        if self.path_names:
            path = _convert(dict(request.match_info), self.path_type, self.path_forms)
            found.update((name, getattr(path, name)) for name in self.path_names)
        if self.query_type is not None:
            found["query"] = _convert(self._query(request), self.query_type, self.query_forms)
        if self.raw:
            found["body"] = RawBody(request)
        elif self._decode is not None:
            found["body"] = self._body(await self._read(request), self._decode)
        return found

    def respond(self, result: Any) -> web.StreamResponse:
        """The answer that carries a handler's result."""
        status = self.route.statuses[0]
        if isinstance(result, Answer):
            result, status = result.body, result.status
        elif result is None:
            status = 204
        if isinstance(result, Download):
            return FileAnswer(result)
        if isinstance(result, Redirect):
            return web.Response(status=302, headers={"Location": result.location})
        if result is None:
            return web.Response(status=status)
        return web.Response(body=_encode(result), status=status, content_type=JSON)

    def _query(self, request: web.Request) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in parse_query(request.raw_path):
            if name not in self.lists:
                continue
            if self.lists[name]:
                # Both ways of OpenAPI's form style: a=1&a=2 and a=1,2.
                values.setdefault(name, []).extend(part for part in value.split(",") if part)
            elif name in values:
                raise ValidationFailed.at(f"$.{name}", "given more than once")
            else:
                values[name] = value
        return values

    async def _read(self, request: web.Request) -> bytes:
        if not request.body_exists:
            return b""
        if request.headers.get("Content-Type") and request.content_type != JSON:
            raise UnsupportedMedia
        if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMedia("JSON is UTF-8 (RFC 8259, 8.1)")
        if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise UnsupportedMedia("Send the body without a Content-Encoding")
        if (request.content_length or 0) > self.max_body:
            raise TooLarge(f"The body may have {self.max_body} bytes")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await request.read()
        except TimeoutError:
            raise RequestTimeout from None
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"The body may have {self.max_body} bytes") from None
        except web.RequestPayloadError:
            raise BadRequest("The body is not what its headers say") from None
        except ConnectionError:
            raise ClientGone from None

    def _body(self, raw: bytes, decode: Callable[[bytes], Any]) -> Any:
        if not raw:
            if self.body_optional:
                return None
            raise ValidationFailed.at("$", "a JSON body is needed")
        try:
            if not raw.isascii():
                raw.decode()  # what is not UTF-8 is no JSON, in fields that nobody knows either
            body = decode(raw)
        except msgspec.ValidationError as error:
            raise invalid(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadFrame("The body is not JSON") from None
        # PostgreSQL has no text with NUL in it, and no field of ours means anything by one. Looked for in
        # what was taken, because fields that we do not know may hold what they like.
        if b"\\u0000" in raw and _NUL_ESCAPE.search(_encode(body)):
            raise ValidationFailed.at(_place_of_nul(msgspec.to_builtins(body), "$"), "must not contain NUL")
        return body


def _convert(values: Mapping[str, Any], kind: type[msgspec.Struct], forms: Mapping[str, type]) -> Any:
    for name, value in values.items():
        texts = [value] if isinstance(value, str) else value
        if any("\0" in text for text in texts):
            raise ValidationFailed.at(f"$.{name}", "must not contain NUL")
        if name in forms:
            form, expected = _FORMS[forms[name]]
            for i, text in enumerate(texts):
                if not form.fullmatch(text):
                    place = f"$.{name}" if isinstance(value, str) else f"$.{name}[{i}]"
                    raise ValidationFailed.at(place, expected)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error) from None


def answer_type(returned: Any) -> Any:
    """The type of the body that a handler's return annotation promises; None where there is none."""
    if get_origin(returned) is Answer:
        returned = get_args(returned)[0]
    return None if returned is NoneType else returned


def parse_query(target: str) -> list[tuple[str, str]]:
    """The pairs of a request target's query string. Raises ValidationFailed where it is not UTF-8."""
    query = target.partition("?")[2].partition("#")[0]
    found = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            name = unquote(name, plus=True)
            found.append((name, unquote(value, plus=True, place=f"$.{name}")))
    return found


def unquote(text: str, *, plus: bool = False, place: str = "$") -> str:
    """Percent-decoded text. Raises ValidationFailed for a broken escape and for what is not UTF-8."""
    if _BAD_PERCENT.search(text):
        raise ValidationFailed.at(place, "a % that two hexadecimal digits do not follow")
    try:
        return unquote_to_bytes(text.replace("+", " ") if plus else text).decode("utf-8")
    except UnicodeError:
        raise ValidationFailed.at(place, "not UTF-8") from None


def _place_of_nul(value: Any, path: str) -> str:
    """The path of the first text in ``value`` that holds a NUL; its own where none does."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        if any("\0" in name for name in value):
            return path
        inner = [(f"{path}.{name}", each) for name, each in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{i}]", each) for i, each in enumerate(value)]
    for place, each in inner:
        if _NUL_ESCAPE.search(_encode(each)):
            return _place_of_nul(each, place)
    return path


def _list_fields(kind: type[msgspec.Struct]) -> dict[str, bool]:
    """Wire name of each field of a query struct, and whether it takes many values."""
    return {wire: _is_list(hint) for wire, hint in _fields(kind)}


def _forms(kind: type[msgspec.Struct]) -> dict[str, type]:
    """Wire name of each field that is a number or a time (or more of them), and which."""
    scalars = ((wire, _scalars(hint) & _FORMS.keys()) for wire, hint in _fields(kind))
    return {wire: found.pop() for wire, found in scalars if len(found) == 1}


def _fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for name, wire in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        yield wire, hints[name]


def _is_list(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _is_list(get_args(hint)[0])
    if origin in (Union, UnionType):
        return any(_is_list(arg) for arg in get_args(hint))
    return (origin or hint) in (list, tuple, set, frozenset)


def _scalars(hint: Any) -> set[Any]:
    """The types of the single values that a hint takes."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _scalars(args[0])
    if origin in (Union, UnionType, list, tuple, set, frozenset):
        return set().union(*map(_scalars, args))
    return {hint}
