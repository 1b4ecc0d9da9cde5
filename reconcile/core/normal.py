"""
The normal form of a JSON value: one text for values that are equal, so that comparing is comparing texts.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

__all__ = ["HALF", "canonical_json", "canonical_raw", "canonical_tags", "json_text", "mended"]

_SAFE_INTEGER = 2**53
_BLANKS = " \t\r\n"  # between the values of JSON
_TEXT = msgspec.json.Decoder(str)

# Stands where an answer had half a surrogate pair, which is no text: a code point that Unicode keeps out of texts. What
# has it is compared, and is never written back.
HALF = "\ufdd0"
# One escape at a time, whole pairs as one; a backslash that is escaped itself begins none.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def mended(data: bytes) -> bytes:
    """Give JSON with `HALF` in place of each escape that is half of a surrogate pair; no reader here takes those."""
    return _ESCAPE.sub(lambda found: HALF.encode() if found[1] else found[0], data)


def canonical_json(value: Any) -> str | None:
    """
    Write a JSON value so that equal values give equal text: keys sorted, 1.0 written as 1, null as None.

    Raises: ValueError for NaN and the infinities, which are not JSON.
    """
    if value is None:
        return None
    return msgspec.json.encode(_plain_numbers(value), order="deterministic").decode()


def _plain_numbers(value: Any) -> Any:
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError("not a JSON number")
        return int(value) if value.is_integer() and abs(value) < _SAFE_INTEGER else value
    if isinstance(value, dict):
        return {key: _plain_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(inner) for inner in value]
    return value


def canonical_raw(raw: msgspec.Raw) -> str | None:
    """Give the canonical text of a JSON value that is still bytes."""
    return _canonical_bytes(bytes(raw))


@lru_cache(maxsize=1 << 12)
def _canonical_bytes(data: bytes) -> str | None:
    # A string without an escape is its own canonical form; most metadata values are that.
    if data[:1] == b'"' and b"\\" not in data:
        return data.decode()
    try:
        return canonical_json(msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError):
        # 1e999, or thousands of brackets: never equal to a value of ours, and no reason to end a run.
        return data.decode()


def json_text(text: str) -> str | None:
    """Give what a JSON value says: a string its characters, null nothing, the rest as it is written."""
    text = text.strip(_BLANKS)
    if text.startswith('"'):
        with suppress(msgspec.DecodeError):  # nothing has proven that what a file calls JSON is it
            return _TEXT.decode(text)
    return None if text == "null" else text


def canonical_tags(tags: Iterable[str]) -> str | None:
    """Write tags as the set that they are: trimmed, without blanks, sorted; None for no tags."""
    return _canonical_tags(tuple(tags))


@lru_cache(maxsize=1 << 12)
def _canonical_tags(tags: tuple[str, ...]) -> str | None:
    # Few combinations are borne by many.
    unique = sorted({tag.strip() for tag in tags} - {""})
    return canonical_json(unique) if unique else None
