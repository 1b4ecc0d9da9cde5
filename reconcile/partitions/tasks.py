"""
What is done with one partition: values and the names of files in, files and small values out.

Nothing here knows in which process it runs, and what is done twice comes to the same.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa

from reconcile.core.cells import arrow
from reconcile.core.diff import Comparison, likely
from reconcile.core.found import Decided, Found, conclude
from reconcile.core.frame import Desired, Quarantined, QuarantineKind, desire, frame_of, with_roles
from reconcile.core.freshness import Freshness
from reconcile.core.hashes import Hashes, hashed
from reconcile.core.mapping import Mapping
from reconcile.core.scope import together, without
from reconcile.core.shape import empty_counts, without_collided
from reconcile.core.sketch import sample_of
from reconcile.core.tombstones import forgotten_among
from reconcile.partitions.shelves import Shelf
from reconcile.partitions.splitting import name_of

__all__ = [
    "KINDS",
    "Checked",
    "Closing",
    "Look",
    "Part",
    "Said",
    "check",
    "close",
    "find_likely",
    "look",
    "only",
    "user_hashes",
]

KINDS = ("missing", "drifted", "deactivated", "unmanaged")
_SIDE_BY_SIDE, _LEAST = 16_384, 64  # rows that the writer of the plan holds, and the least of one partition


class Said(IntEnum):
    """What the process that asks the directory tells a comparison, one number a row."""

    SEEN = 0
    SEEN_DEACTIVATED = 1
    IS_ACTIVE = 2
    IS_DEACTIVATED = 3
    IS_UNSURE = 4
    IS_UNKNOWN = 5


@dataclass(frozen=True)
class Part:
    """
    One partition of so many: where it is, and what of the run's state bears on its users.

    `source` and `log` name its tables of the export, and of what was said about the directory. `quarantined` are its
    rows that were found bad; `roles` those that the app has (None: nobody has asked so far).
    """

    shelf: Shelf
    number: int
    parts: int
    mapping: Mapping
    secret: str
    source: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    rows: int = 0
    roles: frozenset[str] | None = None
    protect: tuple[str, ...] = ()
    protect_roles: tuple[str, ...] = ()
    uncompared: frozenset[str] = frozenset()
    freshness: Freshness = field(default_factory=Freshness)
    tombstones: frozenset[str] = frozenset()

    def name(self, side: str) -> str:
        """Name what this partition has on a side."""
        return name_of(side, self.number)

    def forgotten(self, uids: Collection[str]) -> tuple[str, ...]:
        """Give those of the uids that were forgotten."""
        return forgotten_among(uids, self.secret, self.tombstones)

    def desired(self) -> Desired:
        """Give its checked users."""
        users = frame_of(self.shelf.table(self.name("users")))
        desired = Desired(users, self.quarantined, self.rows, self.mapping)
        return desired if self.roles is None else with_roles(desired, self.roles, self.protect_roles)

    def compared(self, desired: Desired) -> Comparison:
        """Give the comparison as far as it has come: everything that it was told so far is told again."""
        comparison = Comparison(
            desired,
            protect=self.protect,
            protect_roles=self.protect_roles,
            uncompared=self.uncompared,
            freshness=self.freshness,
            forgotten=lambda uids: self.forgotten([*uids]),
        )
        for said, rows in _runs(self.shelf.pieces(*self.log)):
            _tell(comparison, said, rows)
        return comparison


@dataclass(frozen=True)
class Checked:
    """
    What checking a partition of the source came to. `empty` counts the rows without a value, by field, and `present`
    are the sentinels that are here. Whom a sketch may choose is written down as `sample`.
    """

    raw: int
    valid: int
    quarantined: tuple[Quarantined, ...]
    empty: dict[str, int]
    present: frozenset[str]


@dataclass(frozen=True)
class Look:
    """Where a partition stands: rows that ask for a role they cannot have, users not shown so far, and those seen twice."""

    quarantined: tuple[Quarantined, ...]
    unseen: int
    disputed: tuple[str, ...]


@dataclass(frozen=True)
class Closing:
    """With what a comparison is closed (see there); `misses`: whom nothing has shown is missing."""

    whole: bool
    hidden: frozenset[str]
    misses: bool
    decided: Decided


def check(part: Part, sentinels: frozenset[str], collided: frozenset[str]) -> Checked:
    """Check the rows of a partition; `collided` are the marks of rows that collided where all was read last."""
    raw = frame_of(part.shelf.table(*part.source))
    desired = desire(raw, part.mapping)
    if collided:
        desired = without_collided(desired, collided)
    users = _table(desired.users)
    part.shelf.write(part.name("users"), users)
    part.shelf.write(part.name("sample"), sample_of(users.select(["uid", *desired.fields]), part.secret))
    return Checked(
        raw=len(raw),
        valid=len(users),
        quarantined=desired.quarantined,
        empty=empty_counts(raw, part.mapping),
        present=sentinels.intersection(users["uid"].to_pylist()) if sentinels else frozenset(),
    )


def look(part: Part) -> Look:
    """See where the comparison of a partition stands; whom nothing has shown is written down."""
    desired = part.desired()
    comparison = part.compared(desired)
    unseen = comparison.unseen()
    part.shelf.write(part.name("unseen"), pa.table({"uid": pa.array(unseen, pa.string())}))
    by_role = {QuarantineKind.UNKNOWN_ROLE, QuarantineKind.PROTECTED_ROLE}
    refused = tuple(row for row in desired.quarantined if row.kind in by_role)
    return Look(refused, len(unseen), tuple(comparison.disputed()))


def close(part: Part, closing: Closing) -> Found:
    """End the comparison of a partition, and write down whom changes are made of."""
    comparison = part.compared(part.desired())
    if closing.misses:
        comparison.settle_unseen()
    ended = comparison.close(whole=closing.whole, hidden=closing.hidden, known=closing.decided.known)
    findings, found = conclude(ended, closing.decided)
    for kind in KINDS:
        # All partitions are read side by side when the plan is written.
        rows = max(_LEAST, _SIDE_BY_SIDE // part.parts)
        part.shelf.write(part.name(kind), _table(getattr(findings, f"{kind}_rows")), rows)
    return found


def find_likely(part: Part, group: str, among: tuple[str, ...]) -> list[tuple[int, str]]:
    """Give a few of these users that should have some of a group (tags, metadata)."""
    return likely(part.desired(), group, among)


def only(part: Part, uids: frozenset[str]) -> pa.Table:
    """Give the users of a partition that are named."""
    return _table(part.desired().only(uids).users)


def user_hashes(part: Part) -> Hashes:
    """Give the keyed hashes of the users of a partition, without those that were forgotten."""
    uids = arrow(part.desired().users["uid"])
    return without(together(hashed(uids, part.secret)), part.forgotten(uids.to_pylist()), part.secret)


def _runs(pieces: Iterator[pa.Table]) -> Iterator[tuple[Said, pa.Table]]:
    """Cut what was said where something else is."""
    for piece in pieces:
        said = piece["said"].to_numpy()
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(said)) + 1).tolist(), len(said)]):
            yield Said(said[start]), piece.slice(start, end - start)


def _tell(comparison: Comparison, said: Said, rows: pa.Table) -> None:
    settle: dict[Said, Callable[[str], None]] = {
        Said.IS_ACTIVE: comparison.settle_active,
        Said.IS_DEACTIVATED: comparison.settle_deactivated,
        Said.IS_UNSURE: comparison.settle_unsure,
    }
    match said:
        case Said.SEEN:
            comparison.see(rows)
        case Said.SEEN_DEACTIVATED:
            comparison.see_deactivated(rows)
        case Said.IS_UNKNOWN:
            comparison.settle_unknown(rows["uid"].to_pylist())
        case _:
            for uid in rows["uid"].to_pylist():
                settle[said](uid)


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.table({name: arrow(frame[name]) for name in frame.columns})
