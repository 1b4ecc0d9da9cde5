"""
The metadata object of a user, and the managed values in it.

A managed value is named by the path of keys that leads to it, written as TOML writes keys: `metadata.plan`,
`metadata.address.city` for a key of an inner object, `metadata."a.b"` for a key that has a dot in its name.
Objects are kept as undecoded JSON by key: what is not managed passes through byte by byte.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache

import msgspec

from reconcile.core.normal import canonical_raw

__all__ = [
    "METADATA_PREFIX",
    "PRIVATE_KEY",
    "Path",
    "Private",
    "RawObject",
    "holds_private",
    "lost",
    "managed_metadata",
    "metadata_field",
    "metadata_object",
    "metadata_path",
    "obstructed",
    "odd_metadata",
    "value_at",
    "with_value",
]

METADATA_PREFIX = "metadata."
Path = tuple[str, ...]
RawObject = Mapping[str, msgspec.Raw]
PRIVATE_KEY = "@private"  # e-mail and phone, kept there for the notification extensions


class Private(StrEnum):
    """What is known of `metadata.@private` in the answers for an app: shown once, proven to be hidden, or neither."""

    SHOWN = "shown"
    HIDDEN = "hidden"
    UNKNOWN = ""


_STEP = re.compile(r'"([^"]*)"|([^."]+)')
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


@lru_cache(maxsize=1024)
def metadata_path(field: str) -> Path | None:
    """
    Give the path of keys that a managed field stands for, or None for any other field.

    Raises: ValueError where the keys are not written as TOML writes them.
    """
    if not field.startswith(METADATA_PREFIX):
        return None
    written = field.removeprefix(METADATA_PREFIX)
    path = tuple(quoted or bare for quoted, bare in _STEP.findall(written))
    if not path or not all(path) or metadata_field(path) != METADATA_PREFIX + written:
        raise ValueError(f"{written!r} is no path of metadata keys")
    return path


def metadata_field(path: Iterable[str]) -> str:
    """Give the name of the managed field that a path stands for."""
    return METADATA_PREFIX + ".".join(f'"{key}"' if "." in key else key for key in path)


def managed_metadata(fields: Iterable[str]) -> tuple[Path, ...]:
    """Give the paths of the managed metadata among the fields, in their order."""
    return tuple(path for path in map(metadata_path, fields) if path is not None)


def metadata_object(raw: msgspec.Raw | msgspec.UnsetType) -> dict[str, msgspec.Raw]:
    """Split a metadata value by key; an empty object may come as `[]`, null or text, and all mean nothing."""
    if isinstance(raw, msgspec.UnsetType):
        return {}
    data = bytes(raw)
    if data[:1] == b'"':
        # A public client stored metadata as JSON inside a string and the service took it.
        data = msgspec.json.decode(data, type=str).encode()
    return _split(data) or {}


def odd_metadata(raw: msgspec.Raw | msgspec.UnsetType) -> msgspec.Raw | None:
    """Give metadata that has content and is not an object, as it came; None for all that `metadata_object` can read."""
    if isinstance(raw, msgspec.UnsetType):
        return None
    data = bytes(raw)
    if data[:1] == b'"':
        data = msgspec.json.decode(data, type=str).encode()
    is_nothing = b"".join(data.split()) in {b"", b"null", b"[]"}
    return None if is_nothing or _split(data) is not None else raw


def holds_private(raw: msgspec.Raw | msgspec.UnsetType) -> bool:
    """Whether a metadata value holds the key `@private`."""
    return PRIVATE_KEY in metadata_object(raw)


def lost(whole: RawObject, now: RawObject, managed: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """
    Give what an object held and now lacks, outside the managed paths: each path with its value in normal form.

    A key that is there counts as there, whatever it holds: somebody may have changed it since.
    """
    paths = tuple(managed)
    for key, raw in whole.items():
        inner = [path[1:] for path in paths if path[0] == key]
        found = now.get(key)
        if not inner:
            text = canonical_raw(raw) if found is None else None
            if text is not None:
                yield (key,), text
        elif () not in inner:
            below = lost(_split(bytes(raw)) or {}, {} if found is None else _split(bytes(found)) or {}, inner)
            # Below a value that is not an object nothing can be put.
            if found is None or _split(bytes(found)) is not None:
                yield from (((key, *path), text) for path, text in below)


def value_at(whole: RawObject, path: Path) -> str | None:
    """Give the normal form of the value at a path; None where there is nothing."""
    found = whole.get(path[0])
    if found is None or len(path) == 1:
        return None if found is None else canonical_raw(found)
    return value_at(_split(bytes(found)) or {}, path[1:])


def with_value(whole: RawObject, path: Path, text: str | None) -> dict[str, msgspec.Raw]:
    """Give the object with the value at a path set or, where `text` is None, taken away; all else stays."""
    if text is None and obstructed(whole, path):
        return dict(whole)
    key = path[0]
    rest = {name: value for name, value in whole.items() if name != key}
    if len(path) > 1:
        found = whole.get(key)
        inner = with_value((found and _split(bytes(found))) or {}, path[1:], text)
        # An inner object that held nothing else goes with its last value.
        text = msgspec.json.encode(inner).decode() if inner else None
    return rest if text is None else rest | {key: msgspec.Raw(text.encode())}


def obstructed(whole: RawObject, path: Path) -> bool:
    """Whether something that is no object stands where a path leads through."""
    found = whole.get(path[0])
    if found is None or len(path) == 1 or bytes(found) == b"null":
        return False
    inner = _split(bytes(found))
    return inner is None or obstructed(inner, path[1:])


def _split(data: bytes) -> dict[str, msgspec.Raw] | None:
    if data.lstrip()[:1] != b"{":
        return None
    try:
        return _OBJECT.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
