"""The text that a native value of a database or a typed file stands for."""

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

__all__ = ["as_text"]


def as_text(value: Any) -> str | None:
    """
    Give a value as the text that an export would have written: None for NULL.

    Booleans are `true` and `false`, times ISO 8601, numbers without an exponent where they are whole,
    arrays and objects JSON. Bytes are text in UTF-8.
    """
    if value is None or isinstance(value, str):
        return value
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    return str(value)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


# The first kind that fits counts: a boolean is an integer too, a datetime a date.
_WRITERS: tuple[tuple[tuple[type, ...], Callable[[Any], str | None]], ...] = (
    ((bool,), lambda value: "true" if value else "false"),
    ((Enum,), lambda value: as_text(value.value)),
    ((float,), _number),
    ((Decimal,), lambda value: format(value, "f")),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).decode()),
    ((list, tuple, dict, set, frozenset), lambda value: msgspec.json.encode(value, enc_hook=str).decode()),
)
