"""The text that a native value of a database or a typed file stands for."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

__all__ = ["Write", "as_text", "instant", "moment", "quoted"]

Write = Callable[[Any], str | None]

_JSON = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


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


def quoted(text: str) -> str:
    """Give a text as a JSON string."""
    return msgspec.json.encode(text).decode()


def moment(text: str) -> str:
    """Give a time that a server wrote with a space in ISO 8601."""
    return text.replace(" ", "T", 1)


def instant(text: str) -> str:
    """Give a time with a zone in UTC, so that it does not depend on whose session wrote it."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        # Before Christ, infinity: what no calendar here can turn.
        return text


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


# The first kind that fits counts: a boolean is an integer too, a datetime a date.
_WRITERS: tuple[tuple[tuple[type, ...], Write], ...] = (
    ((bool,), lambda value: "true" if value else "false"),
    ((Enum,), lambda value: as_text(value.value)),
    ((float,), _number),
    ((Decimal,), lambda value: format(value, "f")),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((bytes, bytearray, memoryview), lambda value: bytes(value).decode()),
    ((list, tuple, dict, set, frozenset), lambda value: _JSON.encode(value).decode()),
)
