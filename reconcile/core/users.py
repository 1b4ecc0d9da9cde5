"""
The words for a user on either side, and the one normal form in which both sides are compared.

A managed field is named by its CometChat name (`name`, `avatar`, `tags`, ...); each mapped metadata key is
a managed field of its own, named `metadata.<key>`. The normal form of a value is text, or None where there
is nothing: plain text for the text fields, canonical JSON for tags and metadata. So two values agree
exactly when their texts are equal, in a frame as well as in a single record.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from hashlib import blake2b
from math import isfinite
from typing import Any

import msgspec

__all__ = [
    "METADATA_PREFIX",
    "MISSING_UID",
    "PROFILE_TEXT",
    "DirectoryUser",
    "Reason",
    "Record",
    "Situation",
    "Values",
    "as_json",
    "as_record",
    "canonical_json",
    "canonical_tags",
    "fingerprint",
    "fold_uid",
    "is_json_field",
    "managed_metadata",
    "metadata_key",
    "metadata_object",
]


Values = Mapping[str, str | None]

PROFILE_TEXT = ("name", "avatar", "link", "statusMessage")
METADATA_PREFIX = "metadata."
# The vendor's documentation: 100 characters of a-z, 0-9, dash and underscore; upper case is folded there.
_UID = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Its JavaScript client refuses these three, which are what a broken export writes for "nobody".
MISSING_UID = frozenset({"0", "null", "undefined"})
_SAFE_INTEGER = 2**53


class Situation(StrEnum):
    """The one state that each valid desired user is in."""

    IN_STEP = "in_step"
    MISSING = "missing"
    DRIFTED = "drifted"
    DEACTIVATED = "deactivated"
    PROTECTED = "protected"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a user is drifted; one user may have both."""

    STALE = "stale"
    ROLE_MISMATCHED = "role_mismatched"


class DirectoryUser(msgspec.Struct, rename="camel", frozen=True):
    """
    One user as CometChat shows it. A key that is absent is unset, or hidden by that channel.

    Units: the times are unix seconds. `metadata` is kept undecoded: usually only a few keys are managed.
    """

    uid: str
    name: str | None = None
    avatar: str | None = None
    link: str | None = None
    status_message: str | None = None
    role: str | None = None
    tags: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    created_at: int | None = None
    updated_at: int | None = None
    deactivated_at: int | None = None


class Record(msgspec.Struct, frozen=True):
    """
    The managed state of one directory user, taken at one look.

    `values` holds every managed field; `metadata` is the whole object, foreign keys and all, as raw JSON by
    key; `shown` names which of `tags` and `metadata` the answer carried at all.
    """

    uid: str
    active: bool
    values: dict[str, str | None]
    metadata: dict[str, msgspec.Raw]
    shown: frozenset[str]
    created_at: int | None = None
    updated_at: int | None = None

    @property
    def moved_at(self) -> int | None:
        """When somebody last touched the user: one that was never updated bears the time of its creation only."""
        return max((time for time in (self.created_at, self.updated_at) if time is not None), default=None)


def fold_uid(text: str) -> str | None:
    """Give the key form of a uid: trimmed, checked, then lowered as ASCII; None where it is not legal."""
    trimmed = text.strip()
    # The check comes first: lowering first would turn a Kelvin sign into a k.
    if not _UID.fullmatch(trimmed):
        return None
    folded = trimmed.lower()
    return None if folded in MISSING_UID else folded


def metadata_key(field: str) -> str | None:
    """Give the metadata key that a managed field stands for, or None for any other field."""
    return field.removeprefix(METADATA_PREFIX) if field.startswith(METADATA_PREFIX) else None


def managed_metadata(fields: Iterable[str]) -> tuple[str, ...]:
    """Give the metadata keys among the managed fields, in their order."""
    return tuple(key for key in map(metadata_key, fields) if key is not None)


def is_json_field(field: str) -> bool:
    """A field whose normal form is canonical JSON, not plain text."""
    return field == "tags" or field.startswith(METADATA_PREFIX)


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
    data = bytes(raw)
    # A string without an escape is its own canonical form; most metadata values are that.
    if data[:1] == b'"' and b"\\" not in data:
        return data.decode()
    try:
        return canonical_json(msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError):
        # 1e999, or thousands of brackets: never equal to a value of ours, and no reason to end a run.
        return data.decode()


def canonical_tags(tags: Iterable[str]) -> str | None:
    """Write tags as the set that they are: trimmed, without blanks, sorted; None for no tags."""
    unique = sorted({tag.strip() for tag in tags} - {""})
    return canonical_json(unique) if unique else None


def metadata_object(raw: msgspec.Raw | msgspec.UnsetType) -> dict[str, msgspec.Raw]:
    """Split a metadata value by key; an empty object may come as `[]`, null or text, and all mean nothing."""
    if isinstance(raw, msgspec.UnsetType):
        return {}
    data = bytes(raw)
    if data[:1] == b'"':
        # A public client stored metadata as JSON inside a string and the service took it.
        data = msgspec.json.decode(data, type=str).encode()
    if data.lstrip()[:1] != b"{":
        return {}
    return _decode_object(data)


_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _decode_object(data: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _OBJECT.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}


def metadata_texts(raw: msgspec.Raw | msgspec.UnsetType, keys: tuple[str, ...]) -> tuple[str | None, ...]:
    """Give the canonical text of each of `keys` out of a metadata value."""
    found = metadata_object(raw)
    return tuple(canonical_raw(found[key]) if key in found else None for key in keys)


def text_or_none(text: str | None) -> str | None:
    """Two ways to say nothing agree: an absent text and an empty one."""
    return text or None


def as_record(user: DirectoryUser, fields: Iterable[str]) -> Record:
    """Take the managed state out of one directory user."""
    whole = metadata_object(user.metadata)
    values: dict[str, str | None] = {}
    for field in fields:
        key = metadata_key(field)
        if key is not None:
            values[field] = canonical_raw(whole[key]) if key in whole else None
        else:
            values[field] = field_text(user, field)
    shown = {"tags"} if isinstance(user.tags, list) else set()
    if not isinstance(user.metadata, msgspec.UnsetType):
        shown.add("metadata")
    return Record(
        uid=user.uid.lower(),
        active=not user.deactivated_at,
        values=values,
        metadata=whole,
        shown=frozenset(shown),
        created_at=user.created_at,
        updated_at=user.updated_at,
    )


def field_text(user: DirectoryUser, field: str) -> str | None:
    """Give the normal form of one field that is not metadata."""
    match field:
        case "tags":
            return canonical_tags(user.tags) if isinstance(user.tags, list) else None
        case "role":
            return user.role.lower() if user.role else None
        case "statusMessage":
            return text_or_none(user.status_message)
        case _:
            return text_or_none(getattr(user, field))


def fingerprint(values: Values, fields: Iterable[str]) -> str:
    """Sum up the managed fields of one record in 16 hexadecimal digits; any change to one changes it."""
    state = [(field, values.get(field)) for field in sorted(fields)]
    return blake2b(msgspec.json.encode(state), digest_size=8).hexdigest()


def as_json(field: str, text: str | None) -> Any:
    """Give a normal form back as the JSON value that CometChat and a reader expect."""
    if text is None or not is_json_field(field):
        return text
    return msgspec.json.decode(text)
