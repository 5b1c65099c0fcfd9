"""The /docs pages: the two documents as plain HTML, made once, without scripts or anything from elsewhere."""

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.55 system-ui,sans-serif;margin:0 auto;max-width:62rem;padding:1rem 1.5rem 6rem}
h2{border-bottom:1px solid #8886;margin-top:3rem;padding-bottom:.3rem}
h3{font-size:1rem;margin:2rem 0 .3rem} p{margin:.4rem 0}
code,.m{font:13px ui-monospace,monospace;background:#8882;border-radius:3px;padding:.1em .3em}
code{overflow-wrap:anywhere} .m{font-weight:700;text-transform:uppercase}
table{border-collapse:collapse;margin:.5rem 0;width:100%}
td,th{border-bottom:1px solid #8884;padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top}
th{font-weight:600} nav a{margin-right:1rem} :target{background:#fd42}
""".strip()


def page(openapi: Json, asyncapi: Json) -> str:
    """Every route, command, event, shape and close code."""
    schemas = {**openapi["components"]["schemas"], **asyncapi["components"]["schemas"]}
    return _html(
        "chatd",
        [
            "<nav>",
            *(
                _link(f"#{name}", name.replace("-", " "))
                for name in ("rest", "commands", "frames", "close-codes", "shapes")
            ),
            _link("/docs/errors", "errors"),
            _link("/openapi.json", "openapi.json"),
            _link("/asyncapi.json", "asyncapi.json"),
            "</nav>",
            '<h2 id="rest">REST</h2>',
            _prose(openapi["info"]["description"]),
            *_routes(openapi),
            '<h2 id="commands">Commands</h2>',
            _prose(asyncapi["info"]["description"]),
            *_commands(asyncapi),
            '<h2 id="frames">Frames of the server</h2>',
            *_frames(asyncapi),
            '<h2 id="close-codes">Close codes</h2>',
            _table(
                ("code", "what it means"),
                ([_code(code), _inline(text)] for code, text in asyncapi["x-close-codes"].items()),
            ),
            '<h2 id="shapes">Shapes</h2>',
            *(_shape(name, schema) for name, schema in sorted(schemas.items())),
        ],
    )


def errors_page(openapi: Json, asyncapi: Json) -> str:
    """Every error, under the anchor that ``type`` of a problem points to."""
    errors = {**asyncapi["x-errors"], **openapi["x-errors"]}
    return _html(
        "chatd: errors", [f"<p>{_link('/docs', 'All of the API')}</p>", *map(_error, sorted(errors.items()))]
    )


def _error(named: tuple[str, Json]) -> str:
    code, error = named
    facts = [f"HTTP {error['status']}"]
    if "close_code" in error:
        facts.append(f"closes a socket with {error['close_code']} where it ends one")
    facts.append("the same call may succeed later" if error["retryable"] else "the same call will fail again")
    return (
        f'<h3 id="{escape(code)}">{_code(code)} {escape(error["title"])}</h3>'
        f"{_prose(error['description'])}<p>{escape('; '.join(facts))}.</p>"
    )


def _routes(openapi: Json) -> Iterable[str]:
    by_tag: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                by_tag.setdefault(operation["tags"][0], []).append(_route(method, path, operation))
    for tag, routes in by_tag.items():
        yield f"<h3>{escape(tag.capitalize())}</h3>"
        yield from routes


def _route(method: str, path: str, operation: Json) -> str:
    facts: list[str] = []
    if {} not in operation["security"] and operation["security"]:
        facts.append("needs a token")
    if operation.get("x-rate-limit", "none") != "none":
        facts.append(f"counted as a {operation['x-rate-limit']}")
    rows = [
        [_code(each["name"]), each["in"], _kind(each["schema"]), "required" if each["required"] else ""]
        for each in operation.get("parameters", ())
    ]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        kinds = ", ".join(_answer(kind, media) for kind, media in content.items())
        rows.append(["", "body", kinds, "required" if operation["requestBody"]["required"] else ""])
    answers = [
        [_code(status), ", ".join(_answer(kind, media) for kind, media in answer.get("content", {}).items())]
        for status, answer in operation["responses"].items()
    ]
    return (
        f'<h3 id="{escape(operation["operationId"])}"><span class="m">{method}</span> {_code(path)}</h3>'
        f"{_prose(operation.get('description', operation['summary']))}"
        + (f"<p>{escape('; '.join(facts).capitalize())}.</p>" if facts else "")
        + (_table(("parameter", "in", "type", ""), rows) if rows else "")
        + _table(("answer", "what"), answers)
    )


def _answer(content_type: str, media: Json) -> str:
    if "examples" in media:
        return " ".join(_link(f"/docs/errors#{code}", code) for code in media["examples"])
    return _kind(media["schema"]) if content_type == "application/json" else escape(content_type)


def _commands(asyncapi: Json) -> Iterable[str]:
    for operation in asyncapi["operations"].values():
        if operation["action"] == "receive" and "reply" in operation:
            message = _message(asyncapi, operation["messages"][0])
            replies = [_message(asyncapi, each) for each in operation["reply"]["messages"]]
            yield _framed(message)
            yield (
                "<p>Answered by "
                + " ".join(_kind(reply["payload"], reply["name"]) for reply in replies)
                + "; errors: "
                + " ".join(_link(f"/docs/errors#{code}", code) for code in operation["x-errors"])
                + "</p>"
            )


def _frames(asyncapi: Json) -> Iterable[str]:
    for ref in asyncapi["operations"]["send.socket"]["messages"]:
        yield _framed(_message(asyncapi, ref))


def _framed(message: Json) -> str:
    return f"<h3>{_kind(message['payload'], message['name'])}</h3>{_prose(message['summary'])}"


def _message(asyncapi: Json, ref: Json) -> Json:
    found: Json = asyncapi["components"]["messages"][ref["$ref"].rpartition("/")[2]]
    return found


def _shape(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        [_code(field), _kind(of), "required" if field in required else ""]
        for field, of in schema.get("properties", {}).items()
    ]
    return (
        f'<h3 id="shape-{escape(name)}">{escape(name)}</h3>{_prose(schema.get("description", ""))}'
        + _table(("field", "type", ""), rows)
    )


def _kind(schema: Json, text: str = "") -> str:
    """A schema in a few words, with links to shapes."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _link(f"#shape-{name}", text or name)
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " · ".join(_code(str(value)) for value in schema["enum"])
    if "const" in schema:
        return _code(str(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}{_bounds(schema)}"
    words = escape(str(schema.get("format") or schema.get("type") or "any JSON"))
    if schema.get("examples"):
        words += f", as {_code(str(schema['examples'][0]))}"
        return words
    return words + _bounds(schema)


def _bounds(schema: Json) -> str:
    for low, high in (("minLength", "maxLength"), ("minimum", "maximum"), ("minItems", "maxItems")):
        if low in schema or high in schema:
            return escape(f" ({schema.get(low, '')}..{schema.get(high, '')})")
    return ""


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _inline(text: str) -> str:
    """Escaped text, in which `code` and [links](/to) are what they are in Markdown."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.replace("``", "`")))
    return re.sub(r"\[([^\]]+)\]\((/[\w./#-]*)\)", r'<a href="\2">\1</a>', marked)


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"


def _html(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>"
    )
