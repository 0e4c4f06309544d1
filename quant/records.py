"""Dataclasses from JSON objects, each field checked against its annotation."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

Kind = TypeVar("Kind")


def from_json(kind: type[Kind], values: Mapping[str, Any], **fields: Any) -> Kind:
    """An instance of the dataclass ``kind``; JSON's lists become tuples.

    Args:
        values: a JSON object.
        fields: further fields, as Python values.

    Raises:
        TypeError: if a field is missing, unknown, given twice or of another type.
    """
    hints = get_type_hints(kind)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    for name, value in (*given.items(), *fields.items()):
        if name not in hints:
            raise TypeError(f"a {kind.__name__} has no field '{name}'")
        if not _fits(value, hints[name]):
            raise TypeError(f"the field '{name}' of a {kind.__name__} cannot be {value!r:.60}")
    return kind(**given, **fields)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin is UnionType:
        return any(_fits(value, option) for option in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and _elements_fit(value, arguments)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(v, arguments[1]) for v in value.values())
    if origin is np.ndarray:
        return isinstance(value, np.ndarray)
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, NoneType if hint is None else hint)


def _elements_fit(value: tuple[Any, ...], arguments: tuple[Any, ...]) -> bool:
    if arguments[-1] is ...:
        return all(_fits(element, arguments[0]) for element in value)
    return len(value) == len(arguments) and all(map(_fits, value, arguments))
