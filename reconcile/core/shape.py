"""What is measured of a source before it is believed, and how quarantined rows are known again and summed up."""

import re
from collections import Counter
from collections.abc import Container, Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from hashlib import blake2b

import pandas as pd
import pyarrow.compute as pc

from reconcile.core.cells import texts
from reconcile.core.frame import SOURCE_ROW, Desired, Quarantined, QuarantineKind
from reconcile.core.mapping import ColumnRule, Mapping

__all__ = ["empty_counts", "empty_shares", "mark_of", "marks_of", "reasons_of", "without_collided"]


_COLLIDED = "its uid was that of two rows when all of them were read last; only a run that reads all can tell"
_REASONS = 3  # that are named of many
_CELL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")  # a cell as Python quotes it


def empty_counts(raw: pd.DataFrame, mapping: Mapping) -> dict[str, int]:
    """Count the rows that have nothing for a managed field, by field."""
    return {rule.field: _empty(raw, rule) for rule in mapping.rules}


def empty_shares(counts: MappingOf[str, int], rows: int) -> dict[str, float]:
    """Give the share (0..1) of rows that have nothing for a managed field; nothing for a source without rows."""
    return {field: round(count / rows, 4) for field, count in counts.items()} if rows else {}


def _empty(raw: pd.DataFrame, rule: ColumnRule) -> int:
    _, as_written = next(texts(raw, rule))
    return int(pc.sum(pc.equal(as_written, "")).as_py() or 0)


def mark_of(row: Quarantined) -> str:
    """Sum up whom a quarantined row means and what is wrong with it, the same on every night."""
    # A row without any uid is known by what is wrong with it.
    text = f"{row.kind}\0{row.uid or row.raw_uid or row.detail}"
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def without_collided(desired: Desired, marks: Container[str]) -> Desired:
    """
    Move the users of a part of a source into quarantine whose uids collided in the whole: `marks` are its rows'.

    The other row of each may well be there still, and unchanged.
    """
    rows = [
        Quarantined(int(row), uid, QuarantineKind.COLLISION, _COLLIDED, raw_uid=uid)
        for row, uid in zip(desired.users[SOURCE_ROW], desired.users["uid"], strict=True)
    ]
    known = [row for row in rows if mark_of(row) in marks]
    if not known:
        return desired
    kept = desired.users[~desired.users["uid"].isin([row.uid for row in known])].reset_index(drop=True)
    every = tuple(sorted((*desired.quarantined, *known), key=lambda row: row.source_row))
    return replace(desired, users=kept, quarantined=every)


def marks_of(rows: Iterable[Quarantined]) -> frozenset[str]:
    """Give the marks of several rows."""
    return frozenset(mark_of(row) for row in rows)


def reasons_of(rows: Iterable[Quarantined]) -> str:
    """Name the most frequent reasons of quarantined rows, each with their number, and one row to look at."""
    first: dict[str, int] = {}
    counted: Counter[str] = Counter()
    for row in rows:
        reason = _reason(row)
        counted[reason] += 1
        first.setdefault(reason, row.source_row)
    named = counted.most_common(_REASONS)
    words = [f"{count} {'row' if count == 1 else 'rows'}: {reason}" for reason, count in named]
    words[:1] = [f"{word} (row {first[named[0][0]]} is the first)" for word in words[:1]]
    others = counted.total() - sum(count for _, count in named)
    return "; ".join([*words, *([f"{others} for other reasons"] if others else [])])


def _reason(row: Quarantined) -> str:
    """Say what is wrong with a row in words that others like it share: without its cells."""
    match row.kind:
        case QuarantineKind.COLLISION:
            return "another row has the same uid"
        case QuarantineKind.UNKNOWN_ROLE | QuarantineKind.PROTECTED_ROLE:
            return row.detail
        case QuarantineKind.INVALID:
            return _CELL.sub("…", row.detail)
