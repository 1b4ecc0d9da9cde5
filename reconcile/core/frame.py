"""
The desired state as a frame: raw cells in, checked users in normal form out.

Every limit that CometChat is known to have is checked here, before the first request, so that a row that
would be refused there is named here with its line. Frames are Arrow text in pandas: one row a user, a
column `uid`, one column a managed field in normal form (see `core.users`), and `source_row`.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.mapping import ColumnKind, ColumnRule, Mapping
from reconcile.core.users import (
    MISSING_UID,
    DirectoryUser,
    canonical_json,
    canonical_tags,
    field_text,
    is_json_field,
    managed_metadata,
    metadata_key,
    metadata_texts,
)

__all__ = [
    "SOURCE_ROW",
    "TEXT",
    "Desired",
    "QuarantineKind",
    "Quarantined",
    "actual_frame",
    "arrow",
    "as_frame",
    "desire",
    "with_roles",
]

SOURCE_ROW = "source_row"
TEXT = pd.ArrowDtype(pa.string())

# Limits of the vendor's documentation, checked on our side.
NAME_LIMIT = 100  # in UTF-16 units: its page says that one emoji may count as two
URL_LIMIT = 3000
TAG_COUNT, TAG_LIMIT = 25, 100
METADATA_BYTES = 5 * 1024
BODY_BYTES = 10 * 1024
ROLE_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,100}")

_NAMED = 5  # other rows of a collision that each of its rows names
_UID = "^[A-Za-z0-9_-]{1,100}$"
_URL = r"^(?i)[a-z][a-z0-9+.-]*://[^\s/?#]+\S*$"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), "true"),
    **dict.fromkeys(("false", "f", "no", "n", "0"), "false"),
}

Mask = npt.NDArray[np.bool_]


class QuarantineKind(StrEnum):
    """Why a source row cannot be trusted."""

    INVALID = "invalid"
    COLLISION = "collision"
    UNKNOWN_ROLE = "unknown_role"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One source row that is left out. `uid` is the folded key where the row has a legal one."""

    source_row: int
    uid: str | None
    kind: QuarantineKind
    detail: str
    raw_uid: str = ""


@dataclass(frozen=True, slots=True)
class Desired:
    """
    The desired state, and what was left out of it.

    Law: rows == len(users) + len(quarantined). `users` has distinct uids, in source order.
    """

    users: pd.DataFrame
    quarantined: tuple[Quarantined, ...]
    rows: int
    fields: tuple[str, ...]

    @property
    def shielded_uids(self) -> frozenset[str]:
        """The uids that a quarantined row names: their directory users are never unmanaged."""
        return frozenset(row.uid for row in self.quarantined if row.uid)

    @property
    def nameless(self) -> int:
        """How many rows have no usable uid: nobody knows whom they meant."""
        return sum(1 for row in self.quarantined if row.uid is None)


def arrow(series: pd.Series) -> pa.Array:
    """Give a column as one Arrow array, without copying where it is one already."""
    array = pa.array(series)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def as_frame(columns: dict[str, pa.Array]) -> pd.DataFrame:
    """Give Arrow columns as a frame that keeps them as they are."""
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def desire(raw: pd.DataFrame, mapping: Mapping, ragged: Iterable[Quarantined] = ()) -> Desired:
    """
    Turn raw cells into checked users.

    Shape: `raw` has the mapping's columns as Arrow text (null counts as empty) and `source_row`.
    Law: every row of `raw` and of `ragged` is in the result exactly once.
    """
    rows = raw[SOURCE_ROW].to_numpy(dtype=np.int64)
    problems = _Problems(len(raw))
    raw_uid = _trimmed(raw, mapping.uid_column)
    uid, usable = _uids(raw_uid, problems)
    columns = {"uid": uid}
    for rule in mapping.rules:
        columns[rule.field] = _normal(rule, _trimmed(raw, rule.column), mapping, problems)
    _check_sizes(columns, mapping, problems)
    collided = _collisions(uid, usable, rows, raw_uid, problems)

    bad = problems.mask
    quarantined = [
        Quarantined(
            source_row=int(rows[i]),
            uid=uid[i].as_py() if usable[i] else None,
            kind=QuarantineKind.COLLISION if collided[i] else QuarantineKind.INVALID,
            detail=problems.text(i),
            raw_uid=raw_uid[i].as_py(),
        )
        for i in np.flatnonzero(bad).tolist()
    ]
    table = pa.table({**columns, SOURCE_ROW: pa.array(rows)}).filter(pa.array(~bad))
    every = sorted((*ragged, *quarantined), key=lambda row: row.source_row)
    total = len(raw) + len(every) - len(quarantined)
    return Desired(table.to_pandas(types_mapper=pd.ArrowDtype), tuple(every), total, mapping.fields)


def with_roles(desired: Desired, known: Collection[str]) -> Desired:
    """Move the users whose role the app does not have into quarantine; `known` is lower case."""
    if "role" not in desired.fields:
        return desired
    roles = arrow(desired.users["role"])
    unknown = pc.and_kleene(
        pc.is_valid(roles), pc.invert(pc.is_in(roles, value_set=pa.array(sorted(known), pa.string())))
    ).to_numpy(zero_copy_only=False)
    moved = desired.users[unknown]
    rows = [
        Quarantined(int(row), uid, QuarantineKind.UNKNOWN_ROLE, f"the app has no role {role!r}", raw_uid=str(uid))
        for row, uid, role in zip(moved[SOURCE_ROW], moved["uid"], moved["role"], strict=True)
    ]
    every = tuple(sorted((*desired.quarantined, *rows), key=lambda row: row.source_row))
    kept = desired.users[~unknown].reset_index(drop=True)
    return replace(desired, users=kept, quarantined=every)


def actual_frame(users: Iterable[DirectoryUser], fields: tuple[str, ...]) -> pd.DataFrame:
    """
    Put directory users into the same normal form, one row a record as it came (doubles included).

    Adds: `created_at`, `updated_at` (unix seconds or missing), `deactivated`, `shows_tags`, `shows_metadata`.
    """
    records = users if isinstance(users, list) else list(users)
    data: dict[str, Any] = {"uid": pa.array([user.uid.lower() for user in records], pa.string())}
    keys = managed_metadata(fields)
    for name in fields:
        if not name.startswith("metadata."):
            data[name] = pa.array([field_text(user, name) for user in records], pa.string())
    if keys:
        texts = [metadata_texts(user.metadata, keys) for user in records]
        for at, key in enumerate(keys):
            data[f"metadata.{key}"] = pa.array([row[at] for row in texts], pa.string())
    data["created_at"] = pa.array([user.created_at for user in records], pa.int64())
    data["updated_at"] = pa.array([user.updated_at for user in records], pa.int64())
    data["deactivated"] = pa.array([bool(user.deactivated_at) for user in records], pa.bool_())
    return as_frame(data)


class _Problems:
    """What is wrong with which row; only bad rows cost anything."""

    def __init__(self, rows: int) -> None:
        self.mask: Mask = np.zeros(rows, dtype=bool)
        self._texts: dict[int, list[str]] = {}

    def add(self, bad: Mask, say: str | Callable[[int], str]) -> None:
        for i in np.flatnonzero(bad).tolist():
            self._texts.setdefault(i, []).append(say if isinstance(say, str) else say(i))
        self.mask |= bad

    def text(self, row: int) -> str:
        return "; ".join(self._texts[row])


def _trimmed(raw: pd.DataFrame, column: str) -> pa.Array:
    return pc.utf8_trim_whitespace(pc.fill_null(arrow(raw[column]), ""))


def _true(mask: pa.Array) -> Mask:
    result: Mask = pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False)
    return result


def _uids(raw_uid: pa.Array, problems: _Problems) -> tuple[pa.Array, Mask]:
    legal = pc.match_substring_regex(raw_uid, _UID)
    folded = pc.if_else(legal, pc.ascii_lower(raw_uid), pa.scalar(None, pa.string()))
    placeholder = _true(pc.is_in(folded, value_set=pa.array(sorted(MISSING_UID))))
    empty = _true(pc.equal(raw_uid, ""))
    problems.add(empty, "the uid is empty")
    problems.add(
        ~_true(legal) & ~empty, "the uid is not legal: 1 to 100 of the letters a-z, digits, dash, underscore"
    )
    problems.add(placeholder, lambda i: f"the uid {raw_uid[i].as_py()!r} stands for nobody")
    return folded, _true(legal) & ~placeholder


def _normal(rule: ColumnRule, cells: pa.Array, mapping: Mapping, problems: _Problems) -> pa.Array:
    """Give one column in normal form (None for empty) and note what is wrong with it."""
    filled = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
    if rule.kind is ColumnKind.TEXT and not rule.is_metadata:
        _check_text(rule.field, filled, problems)
        return filled
    return _by_distinct(rule, filled, _reader(rule, mapping), problems)


def _check_text(name: str, cells: pa.Array, problems: _Problems) -> None:
    if name == "name":
        problems.add(~_true(pc.is_valid(cells)), "the name is empty, and CometChat requires one")
        too_long = _true(pc.greater(_utf16_length(cells), NAME_LIMIT))
        problems.add(too_long, f"the name is longer than {NAME_LIMIT} UTF-16 units")
    if name in {"avatar", "link"}:
        bad = ~_true(pc.fill_null(pc.match_substring_regex(cells, _URL), fill_value=True))
        problems.add(bad, f"{name} is not a URL")
        too_long = _true(pc.greater(pc.utf8_length(cells), URL_LIMIT))
        problems.add(too_long, f"{name} is longer than {URL_LIMIT} characters")


def _utf16_length(cells: pa.Array) -> pa.Array:
    return pc.add(pc.utf8_length(cells), pc.count_substring_regex(cells, "[\\x{10000}-\\x{10FFFF}]"))


Reader = Callable[[str], str | None]


def _by_distinct(rule: ColumnRule, cells: pa.Array, read: Reader, problems: _Problems) -> pa.Array:
    """Read each distinct text once; what `read` refuses with ValueError becomes a problem of its rows."""
    coded = cells.dictionary_encode()
    values: list[str | None] = []
    refused: dict[int, str] = {}
    for at, text in enumerate(coded.dictionary.to_pylist()):
        try:
            values.append(read(text))
        except ValueError as error:
            values.append(None)
            refused[at] = f"{rule.field}: {error}"
    if refused:
        codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
        problems.add(np.isin(codes, list(refused)), lambda i: refused[int(codes[i])])
    return pa.array(values, pa.string()).take(coded.indices)


def _reader(rule: ColumnRule, mapping: Mapping) -> Reader:
    match rule.kind:
        case ColumnKind.ROLE:
            return lambda text: _role(mapping.roles.get(text, text))
        case ColumnKind.TAGS:
            return lambda text: _tags(text, rule.separator)
        case ColumnKind.NUMBER:
            return _number
        case ColumnKind.BOOLEAN:
            return _boolean
        case ColumnKind.JSON:
            return _json
        case ColumnKind.TEXT:
            return canonical_json


def _role(text: str) -> str:
    trimmed = text.strip()
    # Checked before it is folded, as a uid is.
    if not ROLE_PATTERN.fullmatch(trimmed):
        raise ValueError(f"{text!r} cannot be a role: 1 to 100 of a-z, digits, dash, underscore")
    return trimmed.lower()


def _tags(text: str, separator: str) -> str | None:
    tags = _tag_list(text) if text.startswith("[") else None
    if tags is None:
        tags = text.split(separator)
    unique = {tag.strip() for tag in tags} - {""}
    if len(unique) > TAG_COUNT:
        raise ValueError(f"{len(unique)} tags; CometChat takes {TAG_COUNT}")
    if any(len(tag.encode("utf-16-le")) // 2 > TAG_LIMIT for tag in unique):
        raise ValueError(f"a tag is longer than {TAG_LIMIT} UTF-16 units")
    return canonical_tags(unique)


def _tag_list(text: str) -> list[str] | None:
    """Read the array that a database or JSON wrote: texts, numbers, and gaps."""
    try:
        found = msgspec.json.decode(text, type=list[str | int | float | None])
    except (msgspec.DecodeError, RecursionError):
        return None
    return [tag if isinstance(tag, str) else canonical_json(tag) or "" for tag in found]


def _number(text: str) -> str | None:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a number")
    return canonical_json(int(text) if _INTEGER.fullmatch(text) else float(text))


def _boolean(text: str) -> str:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(f"{text[:40]!r} is neither true nor false") from None


def _json(text: str) -> str | None:
    try:
        return canonical_json(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        raise ValueError(f"{text[:40]!r} is not JSON") from None


def _check_sizes(columns: dict[str, pa.Array], mapping: Mapping, problems: _Problems) -> None:
    """Hold the metadata object and the whole body, as they would be sent, against the documented limits."""
    body = _sizes(columns["uid"]) + len('{"uid":""}')
    metadata = np.zeros(len(body), dtype=np.int64)
    for rule in mapping.rules:
        size = _sizes(columns[rule.field])
        key = metadata_key(rule.field)
        if key is not None:
            metadata += np.where(size > 0, size + len(msgspec.json.encode(key)) + len(":,"), 0)
        elif is_json_field(rule.field):
            body += np.where(size > 0, size + len(rule.field) + len(',"":'), 0)
        else:
            body += np.where(size > 0, size + _escapes(columns[rule.field]) + len(rule.field) + len(',"":""'), 0)
    # The braces, less the comma that the last key does not have.
    metadata += np.where(metadata > 0, 1, 0)
    body += np.where(metadata > 0, metadata + len(',"metadata":'), 0)
    problems.add(metadata > METADATA_BYTES, f"metadata is larger than {METADATA_BYTES} bytes")
    too_big = (body > BODY_BYTES) & (metadata <= METADATA_BYTES)
    problems.add(too_big, f"the user is larger than the {BODY_BYTES} bytes that a request may have")


def _sizes(cells: pa.Array) -> npt.NDArray[np.int64]:
    sizes: npt.NDArray[np.int64] = pc.fill_null(pc.binary_length(cells), 0).to_numpy(zero_copy_only=False)
    return sizes.astype(np.int64)


def _escapes(cells: pa.Array) -> npt.NDArray[np.int64]:
    """Count the bytes that JSON adds to each text."""
    one = pc.count_substring_regex(cells, '["\\\\\\x08-\\x0a\\x0c\\x0d]')
    five = pc.count_substring_regex(cells, "[\\x00-\\x07\\x0b\\x0e-\\x1f]")
    added = pc.add(one, pc.multiply(five, 5))
    result: npt.NDArray[np.int64] = pc.fill_null(added, 0).to_numpy(zero_copy_only=False)
    return result


def _collisions(
    uid: pa.Array, usable: Mask, rows: npt.NDArray[np.int64], raw_uid: pa.Array, problems: _Problems
) -> Mask:
    """Note every row whose folded uid stands in another row too, with each other's line numbers."""
    doubled: Mask = usable & pd.Series(uid, dtype=TEXT).duplicated(keep=False).to_numpy(dtype=bool)
    at = np.flatnonzero(doubled)
    groups: dict[str, list[int]] = {}
    for i in at.tolist():
        groups.setdefault(uid[i].as_py(), []).append(i)

    def say(i: int) -> str:
        same = groups[uid[i].as_py()]
        # Only the first few are looked at: where every row has one uid, each would name all.
        others = [f"row {rows[j]} ({raw_uid[j].as_py()!r})" for j in same[: _NAMED + 1] if j != i][:_NAMED]
        more = len(same) - 1 - len(others)
        rest = f" and {more} more" if more else ""
        own = f"row {rows[i]} ({raw_uid[i].as_py()!r})"
        return f"{own} folds to {uid[i].as_py()!r}, and so does {', '.join(others)}{rest}"

    problems.add(doubled, say)
    return doubled
