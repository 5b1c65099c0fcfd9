"""Rows to structs, by the struct's annotations, in column order."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from chatd.core.ids import from_bytes

T = TypeVar("T")
Convert = Callable[[Any], Any]


@lru_cache(maxsize=1024)
def converters(kind: Any) -> tuple[bool, tuple[tuple[int, Convert], ...]]:
    """(is a struct, [(column, conversion)]): ids from uuids, JSON columns to their types."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        found = ((i, _converter(hints[name])) for i, name in enumerate(kind.__struct_fields__))
        return True, tuple((i, convert) for i, convert in found if convert is not None)
    convert = _converter(kind)
    return False, ((0, convert),) if convert else ()


def decode(kind: Any, record: Sequence[Any]) -> Any:
    """One row as ``kind``: a struct from all columns, or a scalar (or id) from the first."""
    is_struct, conversions = converters(kind)
    if not is_struct:
        value = record[0]
        return conversions[0][1](value) if conversions and value is not None else value
    if not conversions:
        return kind(*record)
    values = list(record)
    for i, convert in conversions:
        if values[i] is not None:
            values[i] = convert(values[i])
    return kind(*values)


def _converter(hint: Any) -> Convert | None:
    origin = get_origin(hint)
    if origin is Annotated:
        for meta in get_args(hint)[1:]:
            prefix = (getattr(meta, "extra", None) or {}).get("id_prefix")
            if prefix is not None:
                return lambda value: from_bytes(prefix, value)
        return _converter(get_args(hint)[0])
    if origin in (Union, UnionType):
        inner = [_converter(arg) for arg in get_args(hint) if arg is not type(None)]
        return inner[0] if inner else None
    if origin in (list, tuple, frozenset, set):
        item_hint = get_args(hint)[0]
        item = _converter(item_hint)
        if item is None or _is_json(item_hint):
            # an array of text is a list already; an array of structs comes as one JSON column
            return _json(hint) if _is_json(item_hint) else origin
        make, each = origin, item
        return lambda values: make(each(value) for value in values)
    if hint is msgspec.Raw:
        return lambda value: msgspec.Raw(value.encode())
    return _json(hint) if _is_json(hint) else None


def _is_json(hint: Any) -> bool:
    return (isinstance(hint, type) and issubclass(hint, msgspec.Struct)) or get_origin(hint) is dict


def _json(hint: Any) -> Convert:
    return msgspec.json.Decoder(hint).decode
