"""
Every limit that CometChat is known to have, held against the rows before the first request.

So a row that would be refused there is named here, with its line. Numbers are those of the vendor's pages.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.metadata import Path, metadata_path
from reconcile.core.problems import Mask, Problems, true
from reconcile.core.users import is_json_field

__all__ = ["check_sizes", "check_text"]

NAME_LIMIT = 100  # in UTF-16 units: its page says that one emoji may count as two
URL_LIMIT = 3000
METADATA_BYTES = 5 * 1024
BODY_BYTES = 10 * 1024
_ESCAPE = 6  # bytes that JSON makes of one: \u0001

_URL = r"^(?i)[a-z][a-z0-9+.-]*://[^\s/?#]+\S*$"

Columns = Mapping[str, pa.Array]
Sizes = npt.NDArray[np.int64]


def check_text(name: str, cells: pa.Array, problems: Problems) -> None:
    """Check a column of the profile that is text: what must be there, its form and its length."""
    if name == "name":
        problems.add(~true(pc.is_valid(cells)), "the name is empty, and CometChat requires one")
        too_long = _longer(cells, NAME_LIMIT, _utf16_length)
        problems.add(too_long, f"the name is longer than {NAME_LIMIT} UTF-16 units")
    if name in {"avatar", "link"}:
        bad = ~true(pc.fill_null(pc.match_substring_regex(cells, _URL), fill_value=True))
        problems.add(bad, f"{name} is not a URL")
        too_long = _longer(cells, URL_LIMIT, pc.utf8_length)
        problems.add(too_long, f"{name} is longer than {URL_LIMIT} characters")


def _longer(cells: pa.Array, limit: int, length: Callable[[pa.Array], pa.Array]) -> Mask:
    """Mark what is longer than a limit. No measure gives more than the bytes, so what has few is not measured."""
    mask = true(pc.greater(pc.binary_length(cells), limit))
    mask[mask] = true(pc.greater(length(cells.filter(pa.array(mask))), limit))
    return mask


def _utf16_length(cells: pa.Array) -> pa.Array:
    return pc.add(pc.utf8_length(cells), pc.count_substring_regex(cells, "[\\x{10000}-\\x{10FFFF}]"))


def check_sizes(columns: Columns, problems: Problems) -> None:
    """Hold the metadata object and the whole body, as they would be sent, against their limits."""
    # JSON makes six bytes of one at the most: only what could then be too large is weighed.
    weight = np.full(len(columns["uid"]), sum(len(field.encode()) for field in columns))
    for cells in columns.values():
        weight += _sizes(cells)
    mask: Mask = weight * _ESCAPE > METADATA_BYTES
    heavy = {field: cells.filter(pa.array(mask)) for field, cells in columns.items()}
    metadata, body = _metadata_sizes(heavy), _body_sizes(heavy)
    too_big = metadata > METADATA_BYTES
    problems.add(_spread(too_big, mask), f"metadata is larger than {METADATA_BYTES} bytes")
    too_big = (body > BODY_BYTES) & ~too_big
    problems.add(_spread(too_big, mask), f"the user is larger than the {BODY_BYTES} bytes that a request may have")


def _spread(found: Mask, mask: Mask) -> Mask:
    spread = mask.copy()
    spread[mask] = found
    return spread


def _body_sizes(columns: Columns) -> Sizes:
    """Give the bytes of each row's body."""
    body = _sizes(columns["uid"]) + len('{"uid":""}')
    for field, cells in columns.items():
        size = _sizes(cells)
        if field == "uid" or metadata_path(field) is not None:
            continue
        if is_json_field(field):
            body += np.where(size > 0, size + len(field) + len(',"":'), 0)
        else:
            body += np.where(size > 0, size + _escapes(cells) + len(field) + len(',"":""'), 0)
    metadata = _metadata_sizes(columns)
    sizes: Sizes = body + np.where(metadata > 0, metadata + len(',"metadata":'), 0)
    return sizes


def _metadata_sizes(columns: Columns) -> Sizes:
    """Give the bytes of each row's metadata object; 0 where it is empty."""
    objects: dict[Path, Sizes] = {(): np.zeros(len(columns["uid"]), dtype=np.int64)}
    for field, cells in columns.items():
        path = metadata_path(field)
        if path is not None:
            _add(objects, path, _sizes(cells))
    # The deepest first: an object weighs in the one that holds it.
    for path in sorted(objects, key=len, reverse=True)[:-1]:
        _add(objects, path, _closed(objects[path]))
    return _closed(objects[()])


def _add(objects: dict[Path, Sizes], path: Path, size: Sizes) -> None:
    around = objects.setdefault(path[:-1], np.zeros(len(size), dtype=np.int64))
    around += np.where(size > 0, size + len(msgspec.json.encode(path[-1])) + len(":,"), 0)


def _closed(size: Sizes) -> Sizes:
    # The braces, less the comma that the last key does not have.
    closed: Sizes = size + np.where(size > 0, 1, 0)
    return closed


def _sizes(cells: pa.Array) -> Sizes:
    sizes: Sizes = pc.fill_null(pc.binary_length(cells), 0).to_numpy(zero_copy_only=False)
    return sizes.astype(np.int64)


def _escapes(cells: pa.Array) -> Sizes:
    """Count the bytes that JSON adds to each text."""
    one = pc.count_substring_regex(cells, '["\\\\\\x08-\\x0a\\x0c\\x0d]')
    five = pc.count_substring_regex(cells, "[\\x00-\\x07\\x0b\\x0e-\\x1f]")
    added = pc.add(one, pc.multiply(five, 5))
    result: Sizes = pc.fill_null(added, 0).to_numpy(zero_copy_only=False)
    return result
