"""
From cells to values, column by column: put together, changed, and read into the normal form.

Every step is said as well as done, so that a person can be shown what became of a row.
"""

import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.ids import INVISIBLE
from reconcile.core.mapping import ColumnKind, ColumnRule, Template, Transform, json_label
from reconcile.core.normal import canonical_json, canonical_tags, json_text
from reconcile.core.problems import Problems

__all__ = ["Step", "arrow", "cells_of", "read_cells", "texts"]

TAG_COUNT, TAG_LIMIT = 25, 100  # limits of the vendor's documentation
# CometChat marks roles of its own with an @, which no role that an app makes can have.
ROLE_PATTERN = re.compile(r"@?[A-Za-z0-9_-]{1,100}")

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), "true"),
    **dict.fromkeys(("false", "f", "no", "n", "0"), "false"),
}

Step = tuple[str, pa.Array]
Roles = MappingOf[str, str]


def arrow(series: pd.Series) -> pa.Array:
    """Give a column as one Arrow array, without copying where it is one already."""
    array = pa.array(series)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def texts(raw: pd.DataFrame, rule: ColumnRule) -> Iterator[Step]:
    """Give the text that a rule makes of each row, step by step; empty is "", the last one counts."""
    cells = _assembled(raw, rule)
    yield str(rule.template), cells
    for transform in rule.transforms:
        cells = _transformed(cells, transform)
        yield str(transform), cells


def cells_of(raw: pd.DataFrame, name: str, rule: ColumnRule) -> pa.Array:
    """Give the cells of a column as a rule takes them: those that are JSON as it, or as what they say."""
    if name in raw.columns:
        return arrow(raw[name])
    cells = arrow(raw[json_label(name)])
    if rule.wants_json:
        return pc.if_else(pc.equal(_trimmed(cells), "null"), pa.scalar(None, pa.string()), cells)
    return pa.array((cell and json_text(cell) for cell in cells.to_pylist()), pa.string())


def read_cells(rule: ColumnRule, cells: pa.Array, roles: Roles, problems: Problems) -> pa.Array:
    """Give texts in normal form (None for empty), and note what cannot be read."""
    empty = pc.equal(cells, "")
    filled = pc.if_else(empty, pa.scalar(None, pa.string()), cells) if pc.any(empty).as_py() else cells
    if rule.kind is ColumnKind.TEXT and not rule.is_metadata:
        return filled
    return _by_distinct(rule, filled, _reader(rule, roles), problems)


def _assembled(raw: pd.DataFrame, rule: ColumnRule) -> pa.Array:
    template = rule.template
    columns = [_trimmed(cells_of(raw, name, rule)) for name in template.columns]
    if template.is_plain:
        return columns[0]
    if not columns:
        return pa.repeat(pa.scalar(template.literals[0].strip(), pa.string()), len(raw))
    return _joined(template, columns, every=rule.needs_every_column)


def _joined(template: Template, columns: list[pa.Array], *, every: bool) -> pa.Array:
    """Put a text together; an empty column leaves nothing, and the blanks on both its sides count once."""
    pieces = [piece for pair in zip(template.literals, [*columns, ""], strict=True) for piece in pair]
    joined = pc.binary_join_element_wise(*pieces, "")
    empty = [pc.equal(column, "") for column in columns]
    some, all_ = empty[0], empty[0]
    for mask in empty[1:]:
        some, all_ = pc.or_(some, mask), pc.and_(all_, mask)
    joined = pc.if_else(some, pc.replace_substring_regex(joined, r"\s\s+", " "), joined)
    return _trimmed(pc.if_else(some if every else all_, "", joined))


def _transformed(cells: pa.Array, transform: Transform) -> pa.Array:
    match transform:
        case Transform.LOWER:
            return pc.ascii_lower(cells)
        case Transform.STRIP:
            return pc.utf8_trim(cells, characters=INVISIBLE)
        case Transform.HASH_SUFFIX:
            return pa.array(map(transform.function, cells.to_pylist()), pa.string())


def _trimmed(cells: pa.Array) -> pa.Array:
    given = pc.fill_null(cells, "")
    trimmed = pc.utf8_trim_whitespace(given)
    # Most columns have nothing to trim: the same text is not kept twice.
    return given if _bytes(trimmed) == _bytes(given) else trimmed


def _bytes(cells: pa.Array) -> int:
    return pc.sum(pc.binary_length(cells)).as_py() or 0


Reader = Callable[[str], str | None]


def _by_distinct(rule: ColumnRule, cells: pa.Array, read: Reader, problems: Problems) -> pa.Array:
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


def _reader(rule: ColumnRule, roles: Roles) -> Reader:
    match rule.kind:
        case ColumnKind.ROLE:
            return lambda text: _role(roles.get(text, text))
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
