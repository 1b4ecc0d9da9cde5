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
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from reconcile.core.metadata import METADATA_PREFIX, metadata_object, metadata_path, odd_metadata, value_at
from reconcile.core.normal import canonical_tags

__all__ = [
    "MISSING_UID",
    "PROFILE_TEXT",
    "DirectoryUser",
    "Reason",
    "Record",
    "Situation",
    "Values",
    "as_json",
    "as_record",
    "fingerprint",
    "fold_uid",
    "is_json_field",
    "shown_of",
    "with_fields",
]


Values = Mapping[str, str | None]

PROFILE_TEXT = ("name", "avatar", "link", "statusMessage")
# The vendor's documentation: 100 characters of a-z, 0-9, dash and underscore; upper case is folded there.
_UID = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Its JavaScript client refuses these three, which are what a broken export writes for "nobody".
MISSING_UID = frozenset({"0", "null", "undefined"})


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


class DirectoryUser(msgspec.Struct, rename="camel", frozen=True, gc=False):
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
    key; `shown` names which of `tags` and `metadata` the answer carried at all. `known` are those of them whose
    content is known: shown, or absent from an answer that is proven to carry the group for this user. What is not
    known is never taken for empty. `odd` is metadata that has content and is not an object, as it came. `role` is in
    lower case, and there where the role is not managed, too.
    """

    uid: str
    active: bool
    values: dict[str, str | None]
    metadata: dict[str, msgspec.Raw]
    shown: frozenset[str]
    created_at: int | None = None
    updated_at: int | None = None
    role: str | None = None
    deactivated_at: int | None = None
    known: frozenset[str] = frozenset()
    odd: msgspec.Raw | None = None

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


def as_record(user: DirectoryUser, fields: Iterable[str], known: frozenset[str] = frozenset()) -> Record:
    """Take the managed state out of one directory user. `known` are the groups that are empty where it lacks them."""
    whole = metadata_object(user.metadata)
    values: dict[str, str | None] = {}
    for field in fields:
        path = metadata_path(field)
        values[field] = field_text(user, field) if path is None else value_at(whole, path)
    return Record(
        uid=user.uid.lower(),
        active=not user.deactivated_at,
        values=values,
        metadata=whole,
        shown=shown_of(user),
        created_at=user.created_at,
        updated_at=user.updated_at,
        role=field_text(user, "role"),
        deactivated_at=user.deactivated_at or None,
        known=known | shown_of(user),
        odd=odd_metadata(user.metadata),
    )


def with_fields(record: Record, fields: Iterable[str]) -> Record:
    """Give a record with the values of more metadata fields."""
    paths = ((name, metadata_path(name)) for name in fields if name not in record.values)
    more = {name: value_at(record.metadata, path) for name, path in paths if path is not None}
    return msgspec.structs.replace(record, values={**record.values, **more})


def shown_of(user: DirectoryUser) -> frozenset[str]:
    """Give which of `tags` and `metadata` an answer carried."""
    has_metadata = not isinstance(user.metadata, msgspec.UnsetType)
    return _SHOWN[isinstance(user.tags, list), has_metadata]


_SHOWN = {
    (tags, metadata): frozenset(name for name, is_there in (("tags", tags), ("metadata", metadata)) if is_there)
    for tags in (False, True)
    for metadata in (False, True)
}


def field_text(user: DirectoryUser, field: str) -> str | None:
    """Give the normal form of one field that is not metadata."""
    match field:
        case "tags":
            return canonical_tags(user.tags) if isinstance(user.tags, list) else None
        case "role":
            return user.role.lower() if user.role else None
        case "statusMessage":
            return user.status_message or None
        case _:
            return getattr(user, field) or None


def fingerprint(values: Values, fields: Iterable[str]) -> str:
    """Sum up the managed fields of one record in 16 hexadecimal digits; any change to one changes it."""
    state = [(field, values.get(field)) for field in sorted(fields)]
    return blake2b(msgspec.json.encode(state), digest_size=8).hexdigest()


@lru_cache(maxsize=1024)
def is_json_field(field: str) -> bool:
    """A field whose normal form is canonical JSON, not plain text."""
    return field == "tags" or field.startswith(METADATA_PREFIX)


def as_json(field: str, text: str | None) -> Any:
    """Give a normal form back as the JSON value that CometChat and a reader expect."""
    if text is None or not is_json_field(field):
        return text
    return msgspec.json.decode(text)
