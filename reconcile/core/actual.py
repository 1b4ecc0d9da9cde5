"""
The actual state as columns: rows of the directory's JSON in, the normal form of `core.users` out.

A row is decoded into a type that is made for the managed fields, so nothing else of it becomes an object; and
what has to be brought into normal form is, once for each text that a page has.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.metadata import Path, managed_metadata, metadata_field, metadata_path, value_at
from reconcile.core.normal import canonical_tags
from reconcile.core.users import DirectoryUser, Record

__all__ = [
    "GROUPS",
    "actual_table",
    "folded",
    "managed_groups",
    "no_rows",
    "read_rows",
    "records_of",
    "shown_column",
]

GROUPS = ("tags", "metadata")  # what some kinds of answer leave out

_TIMES = ("createdAt", "updatedAt", "deactivatedAt")
_NULL = msgspec.Raw(b"null")
# The normal form of most values is what is written: texts without escapes, and whole numbers.
_CANONICAL = r'^(?:"[^"\\]*"|0|-?[1-9][0-9]{0,14}|true|false)$'
_TAGS = msgspec.json.Decoder(list[str] | None)

Normal = Callable[[str], str | None]


def actual_table(
    users: Sequence[DirectoryUser], fields: tuple[str, ...], known: Sequence[frozenset[str]] = ()
) -> pa.Table:
    """
    Give users that were looked at one by one as a page of the list gives its rows.

    `known` are the groups of each user whose content is known (none given: all): of another group `shown_column` is null.
    """
    table = read_rows(msgspec.json.encode({"data": users}), fields)
    for group in managed_groups(fields) if known else ():
        name = shown_column(group)
        is_known = pa.array([group in groups for groups in known], pa.bool_())
        shown = pc.if_else(is_known, table[name], pa.scalar(None, pa.bool_()))
        table = table.set_column(table.schema.get_field_index(name), name, shown)
    return table


def read_rows(body: bytes, fields: tuple[str, ...]) -> pa.Table:
    """
    Read a page of the list, one row a record as it came (doubles included).

    Columns: `uid` (see `folded`); the managed fields; `role`, also where it is not managed: it may protect its user;
    `created_at`, `updated_at`, `deactivated_at` (unix seconds or missing); `deactivated`; and for each managed group
    whether the row showed it (see `shown_column`). No page has a null there: it stands for a group of a user that a look could not show (see `actual_table`).
    Raises: msgspec.DecodeError, RecursionError.
    """
    return _reader(fields)(body)


def records_of(page: pa.Table, fields: tuple[str, ...], known: frozenset[str] = frozenset()) -> Iterator[Record]:
    """
    Give the rows of a page (see `read_rows`) as records; of metadata they have the managed fields alone.

    `known` are the groups that the list is known to carry.
    """
    groups = managed_groups(fields)
    for row in page.to_pylist():
        shown = frozenset(group for group in groups if row[shown_column(group)])
        yield Record(
            uid=row["uid"],
            active=not row["deactivated"],
            values={name: row[name] for name in fields},
            metadata={},
            shown=shown,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            role=row["role"],
            deactivated_at=row["deactivated_at"] or None,
            known=known | shown,
        )


def folded(uids: Iterable[str]) -> pa.Array:
    """Give uids of the directory as the key that both sides share."""
    return pc.ascii_lower(pa.array(list(uids), pa.string()))


@lru_cache(maxsize=16)
def no_rows(fields: tuple[str, ...]) -> pa.Table:
    """Give a page that shows nobody."""
    return actual_table((), fields)


def managed_groups(fields: Iterable[str]) -> frozenset[str]:
    """Give the groups (tags, metadata) that have a managed field."""
    return frozenset(GROUPS).intersection(field.split(".", 1)[0] for field in fields)


def shown_column(group: str) -> str:
    """Name the column that says which rows showed a group."""
    return f"shows {group}"


@lru_cache(maxsize=16)
def _reader(fields: tuple[str, ...]) -> "_Reader":
    return _Reader(fields)


class _Reader:
    def __init__(self, fields: tuple[str, ...]) -> None:
        self._texts = tuple(name for name in fields if name not in GROUPS and metadata_path(name) is None)
        self._has_tags = "tags" in fields
        self._paths = managed_metadata(fields)
        self._keys = {path[0]: f"key_{at}" for at, path in enumerate(self._paths)}
        managed: Any = msgspec.defstruct(
            "Managed",
            [(name, msgspec.Raw, _NULL) for name in dict.fromkeys(self._keys.values())],
            rename={name: key for key, name in self._keys.items()},
            gc=False,
        )
        # Metadata that holds nothing may come in any shape, and metadata may be JSON in a string.
        whatever = managed | list[msgspec.Raw] | str | float | bool | msgspec.UnsetType | None
        members: list[tuple[str, Any, Any]] = [(name, str | None, None) for name in self._texts]
        members += [(name, int | None, None) for name in _TIMES]
        # Read whatever its form: a role that is not managed must not make a page unreadable.
        members += [
            (name, msgspec.Raw, _NULL)
            for name, is_raw in (("tags", self._has_tags), ("role", "role" not in self._texts))
            if is_raw
        ]
        if self._paths:
            members.append(("metadata", whatever, msgspec.UNSET))
        row: Any = msgspec.defstruct("Row", [("uid", str), *members], gc=False)
        page: Any = msgspec.defstruct("Page", [("data", list[row])])
        self._page = msgspec.json.Decoder(page, strict=False)
        self._inner = msgspec.json.Decoder(managed)
        self._nothing = managed()

    def __call__(self, body: bytes) -> pa.Table:
        rows = self._page.decode(body).data
        data = {"uid": folded(map(attrgetter("uid"), rows))}
        data |= {name: _filled(_array(rows, name, pa.string())) for name in self._texts}
        is_managed = "role" in data
        data["role"] = _by_distinct(
            data["role"] if is_managed else _raw_array(rows, "role"), str.lower if is_managed else _role
        )
        if self._has_tags:
            raw = _raw_array(rows, "tags")
            data[shown_column("tags")] = pc.starts_with(raw, "[")
            data["tags"] = _by_distinct(raw, _tags)
        if self._paths:
            data |= self._metadata([row.metadata for row in rows])
        data["created_at"] = _array(rows, "createdAt", pa.int64())
        data["updated_at"] = _array(rows, "updatedAt", pa.int64())
        data["deactivated_at"] = _array(rows, "deactivatedAt", pa.int64())
        data["deactivated"] = pa.array([bool(row.deactivatedAt) for row in rows], pa.bool_())
        return pa.table(data)

    def _metadata(self, found: list[Any]) -> dict[str, pa.Array]:
        shown = pa.array([value is not msgspec.UNSET for value in found], pa.bool_())
        kind = type(self._nothing)
        wholes = [value if type(value) is kind else self._unwrapped(value) for value in found]
        raws = {key: _raw_array(wholes, name) for key, name in self._keys.items()}
        columns = {metadata_field(path): _values(raws[path[0]], path) for path in self._paths}
        return {shown_column("metadata"): shown, **columns}

    def _unwrapped(self, value: Any) -> Any:
        # A public client stored metadata as JSON inside a string and the service took it.
        try:
            return self._inner.decode(value) if isinstance(value, str) else self._nothing
        except (msgspec.DecodeError, RecursionError):
            return self._nothing


def _array(rows: list[Any], name: str, kind: pa.DataType) -> pa.Array:
    return pa.array(list(map(attrgetter(name), rows)), kind)


def _raw_array(rows: list[Any], name: str) -> pa.Array:
    # No NUL is in what JSON has read.
    joined = b"\0".join(map(attrgetter(name), rows))
    return pc.split_pattern(pa.array([joined], pa.string()), "\0").values[: len(rows)]


def _filled(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _by_distinct(texts: pa.Array, normal: Normal) -> pa.Array:
    coded = texts.dictionary_encode()
    return pa.array(map(normal, coded.dictionary.to_pylist()), pa.string()).take(coded.indices)


def _role(raw: str) -> str | None:
    """Give the normal form of a role that is not managed; None for what is no text."""
    role = msgspec.json.decode(raw)
    return role.lower() or None if isinstance(role, str) else None


def _tags(raw: str) -> str | None:
    return canonical_tags(_TAGS.decode(raw) or ())


def _values(raws: pa.Array, path: Path) -> pa.Array:
    """Give the normal forms of what stands at a path, of the values that its first key has."""
    if len(path) == 1:
        odd = pc.invert(pc.match_substring_regex(raws, _CANONICAL))
        return pc.replace_with_mask(raws, odd, _by_distinct(raws.filter(odd), partial(_value_in, path)))
    return _by_distinct(raws, partial(_value_in, path))


def _value_in(path: Path, raw: str) -> str | None:
    return value_at({path[0]: msgspec.Raw(raw.encode())}, path)
