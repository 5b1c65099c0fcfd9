"""What both documents say alike: schemas of structs, and the errors."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import msgspec.inspect as inspected

from chatd.core.errors import AppError

REF = "#/components/schemas/{name}"


def schemas(types: Iterable[Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """(the schema of each type, the named schemas that they refer to, sorted by name)."""
    kinds = list(dict.fromkeys(types))
    found, components = msgspec.json.schema_components(kinds, ref_template=REF)
    for info in _structs(kinds):
        properties = components.get(info.cls.__name__, {}).get("properties", {})
        for field in info.fields:
            if field.encode_name in properties:
                _say_date_time(field.type, properties[field.encode_name])
    for component in components.values():
        if "description" in component:
            component["description"] = _unwrapped(component["description"])
    return dict(zip(kinds, found, strict=True)), {name: components[name] for name in sorted(components)}


def doc(thing: Any) -> str:
    """The docstring of a struct, an error or a handler, unwrapped to one line a paragraph."""
    return _unwrapped(inspect.getdoc(thing) or "")


def _unwrapped(text: str) -> str:
    # From 3.13 on Python itself takes the indentation out of docstrings; the documents are the same on all.
    paragraphs = inspect.cleandoc(text).replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def by_code(errors: Iterable[type[AppError]]) -> dict[str, type[AppError]]:
    """One definition for each code, sorted; of those that share a code, the most general."""
    found: dict[str, type[AppError]] = {}
    for error in sorted(errors, key=lambda error: (error.code, len(error.__mro__), error.__name__)):
        found.setdefault(error.code, error)
    return found


def errors_section(errors: Iterable[type[AppError]]) -> dict[str, Any]:
    """The ``x-errors`` of a document: what each code means, in both edges' terms."""
    section: dict[str, Any] = {}
    for code, error in by_code(errors).items():
        section[code] = {
            "status": error.status,
            "title": error.title,
            "description": doc(error),
            "retryable": error.retryable,
        }
        if error.close_code is not None:
            section[code]["close_code"] = error.close_code
    return section


def _structs(kinds: Iterable[Any]) -> Iterator[inspected.StructType]:
    """Every struct that these types are made of, once."""
    seen: set[type] = set()
    waiting = list(inspected.multi_type_info(kinds))
    while waiting:
        info = waiting.pop()
        if isinstance(info, inspected.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield info
        waiting.extend(_parts(info))


def _parts(info: inspected.Type) -> Iterable[inspected.Type]:
    if isinstance(info, inspected.StructType):
        return [field.type for field in info.fields]
    if isinstance(info, inspected.UnionType):
        return info.types
    if isinstance(info, inspected.Metadata):
        return [info.type]
    if isinstance(info, inspected.CollectionType):
        return [info.item_type]
    if isinstance(info, inspected.DictType):
        return [info.key_type, info.value_type]
    return ()


def _say_date_time(info: inspected.Type, schema: dict[str, Any]) -> None:
    # msgspec says so only where a time zone is asked for; all of our times have one (protocol.md).
    if isinstance(info, inspected.Metadata):
        _say_date_time(info.type, schema)
    elif isinstance(info, inspected.DateTimeType):
        schema["format"] = "date-time"
    elif isinstance(info, inspected.UnionType):
        times = [each for each in info.types if isinstance(each, inspected.DateTimeType)]
        for option in schema.get("anyOf", [schema]) if times else ():
            if option.get("type") == "string":
                option["format"] = "date-time"
