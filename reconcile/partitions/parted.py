"""
An export that is too large for memory, in partitions: what the stages ask of the desired state, asked of all of them.

Of its users nothing is held here, only of rows in quarantine: they are named in the report.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from reconcile.core.frame import SOURCE_ROW, Desired, Quarantined, frame_of, keys
from reconcile.core.hashes import Hashes
from reconcile.core.mapping import Mapping
from reconcile.core.scope import together
from reconcile.core.shape import empty_shares
from reconcile.core.sketch import sample_of
from reconcile.partitions.engines import Engine
from reconcile.partitions.shelves import Shelf
from reconcile.partitions.splitting import Splitter, partition_of
from reconcile.partitions.tasks import Look, Part, check, look, only, user_hashes
from reconcile.sources import Rows

__all__ = ["Parted", "Spill"]


class Spill(Rows):
    """The rows of an export: in memory up to a size, and from there on in partitions."""

    def __init__(self, most: tuple[int, int], begin: Callable[[], Splitter]) -> None:
        """`most` are the rows, and the bytes of a column, that stay in memory; `begin` gives where more of them go."""
        super().__init__()
        self._most = most
        self._begin = begin
        self._rows = 0
        self._bytes: Counter[str] = Counter()
        self._empty = pa.table({})
        self.split: Splitter | None = None

    def add(self, part: pa.Table) -> None:
        """Take in the next rows."""
        if not self._rows:
            self._empty = part.slice(0, 0)
        self._rows += len(part)
        self._bytes.update({name: part[name].nbytes for name in part.column_names})
        if self.split is None:
            super().add(part)
            if self._rows > self._most[0] or max(self._bytes.values(), default=0) > self._most[1]:
                self._spill()
        else:
            self._put(self.split, part)

    def joined(self) -> pd.DataFrame:
        """Give what is in memory."""
        if self.split is None:
            return super().joined()
        self.split.flush()
        return frame_of(self._empty)

    def _spill(self) -> None:
        self.split = self._begin()
        self.split.begin(self._empty)
        while self._parts:
            self._put(self.split, self._parts.pop(0))

    def _put(self, split: Splitter, part: pa.Table) -> None:
        uids = keys(frame_of(part), self.mapping)
        # Rows without a usable uid can be anywhere: they are spread, however many there are.
        at = part[SOURCE_ROW].to_numpy() % split.parts
        named = uids.is_valid().to_numpy(zero_copy_only=False)
        split.add(part, np.where(named, partition_of(uids, split.parts), at))


@dataclass(frozen=True, slots=True)
class Parted:
    """
    The desired state in partitions. What has the name of a part of `Desired` means the same.

    `empty` is the share (0..1) of empty cells by field, `present` the sentinels that it has, `sample` what a sketch
    is drawn from; `looks` say where the comparison of each partition stands, once the roles are known.
    """

    shelf: Shelf
    engine: Engine
    parts: tuple[Part, ...]
    mapping: Mapping
    rows: int
    valid: int
    quarantined: tuple[Quarantined, ...]
    empty: dict[str, float]
    present: frozenset[str]
    sample: pa.Table
    looks: tuple[Look, ...] = ()

    @classmethod
    def checked(
        cls,
        split: Splitter,
        shelf: Shelf,
        engine: Engine,
        template: Part,
        ragged: tuple[Quarantined, ...],
        *,
        sentinels: frozenset[str],
        collided: frozenset[str],
    ) -> "Parted":
        """Check every row that was split. Raises: StateError, EngineError."""
        parts = [
            replace(template, number=number, parts=split.parts, source=tuple(split.names[number]))
            for number in range(split.parts)
        ]
        found = engine.each(check, [(part, sentinels, collided) for part in parts])
        shelf.remove("source")
        raw = sum(one.raw for one in found)
        empty = {field: sum(one.empty[field] for one in found) for field in found[0].empty}
        each = (
            replace(part, quarantined=one.quarantined, rows=one.raw)
            for part, one in zip(parts, found, strict=True)
        )
        return cls(
            shelf,
            engine,
            tuple(each),
            template.mapping,
            raw + len(ragged),
            sum(one.valid for one in found),
            _in_order([*ragged, *(row for one in found for row in one.quarantined)]),
            empty_shares(empty, raw),
            frozenset().union(*(one.present for one in found)),
            _sampled(parts),
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields, in the order in which they are always shown."""
        return self.mapping.fields

    @property
    def nameless(self) -> int:
        """How many rows have no usable uid: nobody knows whom they meant."""
        return sum(1 for row in self.quarantined if row.uid is None)

    def role_names(self) -> set[str]:
        """Give the roles that its users are to have."""
        pieces = self.shelf.pieces(*(part.name("users") for part in self.parts))
        return {role for piece in pieces for role in piece["role"].unique().to_pylist() if role}

    def with_roles(
        self,
        known: frozenset[str],
        protect: tuple[str, ...],
        protect_roles: tuple[str, ...],
        tombstones: frozenset[str],
    ) -> "Parted":
        """Move the users whose role is unknown or protected into quarantine, and see who is left to be looked for."""
        parts = tuple(
            replace(part, roles=known, protect=protect, protect_roles=protect_roles, tombstones=tombstones)
            for part in self.parts
        )
        looks = tuple(self.engine.each(look, [(part,) for part in parts]))
        unknown = [row for one in looks for row in one.quarantined]
        return replace(
            self,
            parts=parts,
            valid=self.valid - len(unknown),
            quarantined=_in_order([*self.quarantined, *unknown]),
            looks=looks,
        )

    def user_hashes(self) -> Hashes:
        """Give the keyed hashes of its users, without those that were forgotten."""
        return together(*self.engine.each(user_hashes, [(part,) for part in self.parts]))

    def only(self, uids: Collection[str]) -> Desired:
        """Keep the rows that name one of these uids, and those of which nobody knows whom they name, in memory."""
        tables = [*self.engine.each(only, [(part, frozenset(uids)) for part in self.parts])]
        users = pa.concat_tables(tables).sort_by(SOURCE_ROW)
        every = Desired(frame_of(users), self.quarantined, self.rows, self.mapping)
        return every.only(uids)


def _sampled(parts: list[Part]) -> pa.Table:
    """Give whom a sketch of all partitions may choose, of those whom each of them gave."""
    sample = parts[0].shelf.table(parts[0].name("sample"))
    for part in parts[1:]:
        sample = sample_of(pa.concat_tables([sample, part.shelf.table(part.name("sample"))]), part.secret)
    return sample


def _in_order(rows: list[Quarantined]) -> tuple[Quarantined, ...]:
    return tuple(sorted(rows, key=lambda row: row.source_row))
