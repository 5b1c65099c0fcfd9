"""OpenAPI 3.1 from the routes: the same declarations that are served.

The document depends on nothing but its arguments and is the same for the same ones, byte for byte: its
snapshot in docs/ shows a change of the contract in review.
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from chatd import __version__
from chatd.core.declarations import Download, Redirect, Route
from chatd.core.errors import (
    AppError,
    BadFrame,
    BadRequest,
    Banned,
    Internal,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    RequestTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    ValidationFailed,
)
from chatd.rest import root
from chatd.rest.binding import Binding, answer_type
from chatd.rest.described import by_code, doc, errors_section, schemas
from chatd.rest.problems import CONTENT_TYPE, Problem, problem_of

Json = dict[str, Any]
_BYTES: Json = {"type": "string", "format": "binary"}
_BODY_ERRORS = (BadFrame, TooLarge, UnsupportedMedia, RequestTimeout, ValidationFailed)
_ALWAYS = (BadRequest, Internal, Unavailable)
_EXAMPLE_ID = "req_01h455vb4pex5vsknk084sn02q"
_DESCRIPTION = """\
Chat and presence over REST. Every path answers under `/api` and without the prefix; the socket at `/ws` is \
described in [/asyncapi.json](/asyncapi.json).

Errors are `application/problem+json` (RFC 9457) with a `code` that the socket uses too. Every answer has \
`X-Correlation-Id`, taken from the request where it sends one (1 to 128 printable ASCII characters).

A list in a query is `a=1&a=2` or `a=1,2`. Times are RFC 3339 in UTC. Ids are TypeIDs."""


def document(routes: Sequence[Route]) -> Json:
    """The whole document. Raises ValueError where two routes share a method and path, or a name."""
    described = [_Described(route) for route in routes]
    kinds, components = schemas([Problem, *(kind for each in described for kind in each.kinds())])
    paths: Json = {}
    names: set[str] = set()
    for each in sorted(described, key=lambda each: (each.route.path, each.route.method)):
        operations, method = paths.setdefault(each.route.path, {}), each.route.method.lower()
        if method in operations or each.name in names:
            raise ValueError(f"declared twice: {each.route.method} {each.route.path} or {each.name}")
        names.add(each.name)
        operations[method] = each.operation(kinds, components)
    errors = {error for each in described for error in each.errors()} | {NotFound, MethodNotAllowed}
    return {
        "openapi": "3.1.0",
        "info": {"title": "chatd", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/api"}, {"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({each.tag for each in described} | {"operations"})],
        "paths": paths | _root_paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "internal": {"type": "http", "scheme": "bearer", "description": "The internal API key."},
            },
            "headers": _HEADERS,
            "examples": {code: _example(error) for code, error in by_code(errors).items()},
        },
        "x-errors": errors_section({*errors, root.UpgradeRequired}),
    }


class _Described:
    """One route and what its handler's annotations say."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.binding = Binding(route, max_body=0)
        self.hints = route.hints()
        self.returns = answer_type(self.hints.get("return", type(None)))
        module = route.handler.__module__.split(".")
        self.tag = route.tag or (module[-2] if len(module) > 1 else module[-1])
        self.name = f"{self.tag}_{route.handler.__name__}"

    def kinds(self) -> list[Any]:
        """Every type that must have a schema."""
        kinds = [self.hints[name] for name in self.binding.path_names]
        found = [self.binding.query_type]
        if not self.binding.raw:
            found.append(self.binding.body_type)
        if self.returns not in (Download, Redirect):
            found.append(self.returns)
        if self.route.dialect is not None:
            kinds.append(self.route.dialect.struct)
        return kinds + [kind for kind in found if kind is not None]

    def errors(self) -> set[type[AppError]]:
        """What it may answer: its own declared errors, and those of the edge that can befall it."""
        route, errors = self.route, {*self.route.raises, *_ALWAYS}
        if route.internal:
            errors |= {Unauthenticated, RateLimited}
        elif route.auth:
            errors |= {Unauthenticated, Banned, RateLimited}
        if route.limit != "none":
            errors.add(RateLimited)
        if self.binding.path_names or self.binding.query_type is not None:
            errors.add(ValidationFailed)
        if self.binding.raw:
            errors |= {TooLarge, RequestTimeout, UnsupportedMedia}
        elif self.binding.body_type is not None:
            errors.update(_BODY_ERRORS)
        return errors

    def operation(self, kinds: dict[Any, Json], components: Json) -> Json:
        text = doc(self.route.handler)
        operation: Json = {"operationId": self.name, "tags": [self.tag], "summary": self.route.summary}
        if text != self.route.summary:
            operation["description"] = text
        parameters = [*self._path_parameters(kinds), *self._query_parameters(kinds, components)]
        if parameters:
            operation["parameters"] = parameters
        if self.binding.raw:
            operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": _BYTES}}}
        elif self.binding.body_type is not None:
            operation["requestBody"] = {
                "required": not self.binding.body_optional,
                "content": {"application/json": {"schema": kinds[self.binding.body_type]}},
            }
        dialect = self.route.dialect
        worded = kinds[dialect.struct] if dialect is not None else None
        operation["responses"] = self._successes(kinds) | _refusals(self.errors(), worded)
        # {} beside it: a token is not asked for, but one that is sent says who asks.
        operation["security"] = [{"bearer": []}] if self.route.auth else [{}, {"bearer": []}]
        if self.route.internal:
            operation["security"] = [{"internal": []}]
        operation["x-rate-limit"] = self.route.limit
        return operation

    def _path_parameters(self, kinds: dict[Any, Json]) -> list[Json]:
        return [
            {"name": name, "in": "path", "required": True, "schema": kinds[self.hints[name]]}
            for name in self.binding.path_names
        ]

    def _query_parameters(self, kinds: dict[Any, Json], components: Json) -> list[Json]:
        query = self.binding.query_type
        if query is None:
            return []
        schema = components[kinds[query]["$ref"].rpartition("/")[2]]
        required = set(schema.get("required", ()))
        parameters = []
        for name, field in schema["properties"].items():
            parameter: Json = {
                "name": name,
                "in": "query",
                "required": name in required,
                "schema": _in_query(field),
            }
            if self.binding.lists[name]:
                parameter |= {"style": "form", "explode": True}
            parameters.append(parameter)
        return parameters

    def _successes(self, kinds: dict[Any, Json]) -> Json:
        headers = {"X-Correlation-Id": {"$ref": "#/components/headers/X-Correlation-Id"}}
        if self.returns is None:
            return {"204": {"description": "Done; there is nothing to say.", "headers": headers}}
        if self.returns is Redirect:
            location = {"Location": {"description": "Where it is now.", "schema": {"type": "string"}}}
            return {"302": {"description": doc(Redirect), "headers": headers | location}}
        if self.returns is Download:
            content = {"*/*": {"schema": _BYTES}}
            parts = {200: "The file.", 206: "The range of it that was asked for."}
            rest = {304: "The client's copy is still right.", 416: "There is no such range."}
            return {
                str(status): {"description": text, "headers": headers}
                | ({"content": content} if status in parts else {})
                for status, text in (parts | rest).items()
            }
        described = doc(self.returns) if isinstance(self.returns, type) else ""
        return {
            str(status): {
                "description": described or HTTPStatus(status).phrase,
                "headers": headers,
                "content": {"application/json": {"schema": kinds[self.returns]}},
            }
            for status in sorted(self.route.statuses)
        }


def _in_query(field: Json) -> Json:
    """A field's schema as a query parameter's: there is no null in a query string, only absence."""
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    rest = {
        name: value for name, value in field.items() if name != "anyOf" and (name, value) != ("default", None)
    }
    if len(options) == 1:
        return {**options[0], **rest}
    return {"anyOf": options, **rest} if options else rest


def _refusals(errors: set[type[AppError]], worded: Json | None = None) -> Json:
    """The error responses, by status; the codes of one status are its examples.

    ``worded`` is the schema of a room's own dialect, where it has one.
    """
    of_status: dict[int, list[type[AppError]]] = {}
    for error in by_code(errors).values():
        of_status.setdefault(error.status, []).append(error)
    return {str(status): _refusal(status, of_status[status], worded) for status in sorted(of_status)}


def _refusal(status: int, errors: list[type[AppError]], worded: Json | None) -> Json:
    headers = {"X-Correlation-Id": {"$ref": "#/components/headers/X-Correlation-Id"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    examples = {error.code: {"$ref": f"#/components/examples/{error.code}"} for error in errors}
    schema = {"$ref": "#/components/schemas/Problem"}
    content: Json = {CONTENT_TYPE: {"schema": schema, "examples": examples}}
    if worded is not None:
        content = {"application/json": {"schema": worded}}
    return {
        "description": " ".join(f"`{error.code}`: {doc(error)}" for error in errors),
        "headers": headers,
        "content": content,
    }


def _example(error: type[AppError]) -> Json:
    made = error()
    if error is ValidationFailed:
        made = ValidationFailed.at("$.limit", "Expected `int` >= 1")
    elif error is RateLimited:
        made = error(retry_after_ms=1200)
    return {"summary": error.title, "value": msgspec.to_builtins(problem_of(made, _EXAMPLE_ID))}


_HEADERS: Json = {
    "X-Correlation-Id": {
        "description": "The request's id, as sent or as given; logs have it.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "Retry-After": {
        "description": "Whole seconds; `retry_after_ms` is exact.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
}


def _root_paths() -> Json:
    """What answers at the root only."""
    ready = {
        "type": "object",
        "required": ["status", "missing", "degraded"],
        "properties": {
            "status": {"enum": ["ready", "degraded"]},
            "missing": {"type": "array", "items": {"type": "string"}},
            "degraded": {"type": "array", "items": {"type": "string"}},
        },
    }
    ok = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
    anything = {"type": "object"}
    text = {"type": "string"}
    plain = [
        ("/healthz", "The process is up.", "application/json", ok),
        ("/readyz", "Database reachable, schema current, not draining.", "application/json", ready),
        ("/metrics", "Prometheus metrics of all workers.", "text/plain", text),
        ("/openapi.json", "This document.", "application/json", anything),
        ("/asyncapi.json", "The socket's document.", "application/json", anything),
        ("/docs", "Both documents, for people.", "text/html", text),
        ("/docs/errors", "Every error, for people.", "text/html", text),
    ]
    paths: Json = {}
    for path, summary, content_type, schema in plain:
        responses: Json = {"200": {"description": summary, "content": {content_type: {"schema": schema}}}}
        if path == "/readyz":
            responses |= _refusals({Unavailable})
        paths[path] = {
            "servers": [{"url": "/"}],
            "get": {
                "operationId": "operations_" + re.sub(r"\W+", "_", path.strip("/")),
                "tags": ["operations"],
                "summary": summary,
                "responses": responses,
                "security": [],
            },
        }
    return paths
