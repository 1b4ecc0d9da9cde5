"""What a comparison found: the numbers, and the rows of whom changes are made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Any, Protocol

import msgspec
import pandas as pd

from reconcile.core.cells import arrow
from reconcile.core.frame import SOURCE_ROW
from reconcile.core.users import Situation, fingerprint

__all__ = ["Counts", "Difference", "Differences", "Findings", "differences", "leaving", "missing"]

_ROWS = 10_000  # rows that are Python objects at one time


class Difference(msgspec.Struct, frozen=True, gc=False):
    """
    One desired user and its directory record, where they differ (or where it is not active).

    `desired` and `actual` hold every managed field; `differing` those to write. `actual` is None for a
    missing user. `created_at` and `deactivated_at` (unix seconds) are known of deactivated users only.
    """

    uid: str
    source_row: int | None
    desired: dict[str, str | None]
    actual: dict[str, str | None] | None
    differing: tuple[str, ...]
    fingerprint: str | None
    newer: bool = False
    created_at: int | None = None
    deactivated_at: int | None = None


class Differences(Protocol):
    """Everybody whom changes are made of, each kind by uid."""

    def missing(self) -> Iterable[Difference]:
        """The users to create."""

    def drifted(self) -> Iterable[Difference]:
        """The active users that differ."""

    def deactivated(self) -> Iterable[Difference]:
        """The desired users that are deactivated in the directory."""

    def leaving(self) -> Iterable[str]:
        """The active users outside the source that nobody touched after the export."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """
    The numbers of a comparison, every one counted in its own right.

    Law: desired == in_step + missing + drifted + deactivated + protected + unknown.
    Law: seen == matched + unmanaged + shielded + deactivated_outside (None counts as 0).
    `newer` are the drifted users that others touched after the export, `newer_roles` those of them whose role
    differs, `newer_unmanaged` the same outside the source. `forgotten` are desired users, protected, and
    `forgotten_outside` active users outside the source, shielded.
    """

    situations: dict[Situation, int]
    seen: int
    seen_deactivated: int
    matched: int
    matched_active: int
    unmanaged: int | None
    shielded: int
    deactivated_outside: int
    stale: int
    role_mismatched: int
    newer: int
    newer_roles: int
    newer_unmanaged: int
    forgotten: int
    forgotten_outside: int


@dataclass(frozen=True, slots=True)
class Findings:
    """
    The outcome of a comparison: its numbers, and the rows of everybody who is not in step.

    Frames: `missing_rows` (the desired users that are missing), `drifted_rows` and `deactivated_rows`
    (see `differences`), `unmanaged_rows`. `protected_by` names the users that each pattern protects, and
    `protected_by_role` those that each role does.

    Of the values that CometChat once did not keep, as (uid, field) in order: `outdated` are those of users of the source
    that no longer differ from that value; `elsewhere` those of users that the source, or its part, does not have.
    """

    counts: Counts
    missing_rows: pd.DataFrame
    drifted_rows: pd.DataFrame
    deactivated_rows: pd.DataFrame
    unmanaged_rows: pd.DataFrame
    fields: tuple[str, ...]
    visible: tuple[str, ...]
    protected_by: Mapping[str, tuple[str, ...]]
    protected_by_role: Mapping[str, tuple[str, ...]]
    outdated: tuple[tuple[str, str], ...] = ()
    elsewhere: tuple[tuple[str, str], ...] = ()

    def missing(self) -> Iterable[Difference]:
        """The users to create, by uid."""
        return missing(_pieces(self.missing_rows), self.fields)

    def drifted(self) -> Iterable[Difference]:
        """The active users that differ, by uid."""
        return differences(_pieces(self.drifted_rows), self.fields, self.visible)

    def deactivated(self) -> Iterable[Difference]:
        """The desired users that are deactivated in the directory, by uid."""
        return differences(_pieces(self.deactivated_rows), self.fields, self.visible)

    def leaving(self) -> Iterable[str]:
        """The active users outside the source that nobody touched after the export, by uid."""
        return leaving([self.unmanaged_rows])


def missing(pieces: Iterable[pd.DataFrame], fields: tuple[str, ...]) -> Iterator[Difference]:
    """Give the users of pieces of `missing_rows`."""
    for part in map(_Part, pieces):
        for uid, row, desired in zip(part("uid"), part(SOURCE_ROW), part.each(fields), strict=True):
            filled = tuple(field for field, text in desired.items() if text is not None)
            yield Difference(uid, row, desired, None, filled, None)


def differences(
    pieces: Iterable[pd.DataFrame], fields: tuple[str, ...], visible: tuple[str, ...]
) -> Iterator[Difference]:
    """Give the users of pieces of `drifted_rows` or `deactivated_rows`."""
    for part in map(_Part, pieces):
        flags = zip(*(part(f"differs {field}") for field in fields), strict=True)
        values = (part.each(fields), part.each(fields, "actual "), flags)
        heads = (part("uid"), part(SOURCE_ROW), part("newer"), part.dates())
        for uid, row, newer, dates, desired, actual, differs in zip(*heads, *values, strict=True):
            differing = tuple(compress(fields, differs))
            seen = fingerprint(actual, visible)
            yield Difference(uid, row, desired, actual, differing, seen, newer, *dates)


def leaving(pieces: Iterable[pd.DataFrame]) -> Iterator[str]:
    """Give the users of pieces of `unmanaged_rows` that nobody touched after the export."""
    for rows in pieces:
        yield from rows["uid"][~rows["newer"]]


def _pieces(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (rows.iloc[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a frame, as Python's own values."""

    rows: pd.DataFrame

    def __call__(self, column: str) -> list[Any]:
        found: list[Any] = arrow(self.rows[column]).to_pylist()
        return found

    def dates(self) -> Iterable[tuple[int | None, int | None]]:
        """Give when each user was created and deactivated, where the rows say so."""
        if "deactivated_at" not in self.rows:
            return repeat((None, None), len(self.rows))
        return zip(self("created_at"), self("deactivated_at"), strict=True)

    def each(self, fields: Sequence[str], side: str = "") -> Iterator[dict[str, str | None]]:
        """Give the fields of each row; `side` is what their columns begin with."""
        columns = [self(f"{side}{field}") for field in fields]
        return (dict(zip(fields, values, strict=True)) for values in zip(*columns, strict=True))
