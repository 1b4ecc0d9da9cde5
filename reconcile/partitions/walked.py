"""
The directory beside an export in partitions: what is shown is written down, and each partition compares its own.

This process asks every question, and holds no user: one bit for each hash that it was shown, and a hash for each user
that a walk has not shown, up to a number of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from operator import attrgetter

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from reconcile.core.actual import managed_groups, no_rows, shown_column
from reconcile.core.diff import LIKELY
from reconcile.core.findings import Difference, differences, leaving, missing
from reconcile.core.found import Decided, Found, merged
from reconcile.core.frame import frame_of
from reconcile.core.freshness import Freshness
from reconcile.core.hashes import hashed
from reconcile.core.recent import Recent
from reconcile.partitions.parted import Parted
from reconcile.partitions.shelves import Shelf
from reconcile.partitions.splitting import Splitter, by_partition, name_of, partition_of
from reconcile.partitions.tasks import Closing, Look, Part, Said, close, find_likely, look

__all__ = ["Gathered", "Walked"]

# 16 MiB. Of a hundred million users every second hash is known by chance alone, and never those of a whole page.
_BITS = 1 << 27
_UNSEEN = 4_000_000  # hashes that are kept: 32 MB; of more users than these the second walk reads every row


class Walked:
    """
    What a `Comparison` is, for an export in partitions: see there for what each of these means.

    One thread feeds it, and any may ask whether uids are news.
    """

    def __init__(self, desired: Parted, *, uncompared: frozenset[str], freshness: Freshness) -> None:
        ours = by_partition(freshness.ours, len(desired.parts))
        self._desired = desired
        self._parts = [
            replace(
                part,
                uncompared=uncompared,
                freshness=replace(freshness, ours={uid: freshness.ours[uid] for uid in ours.get(part.number, ())}),
            )
            for part in desired.parts
        ]
        self._looks = list(desired.looks)
        self._split = Splitter(desired.shelf, "directory", len(self._parts))
        fields = dict.fromkeys((*desired.fields, "role"))  # the role may protect its user, managed or not
        shown = (shown_column(group) for group in sorted(managed_groups(desired.fields)))
        self._columns = ("uid", *fields, "created_at", "updated_at", "deactivated_at", "deactivated", *shown)
        self._shown = np.zeros(_BITS // 8, dtype=np.uint8)
        self._wanted: npt.NDArray[np.uint64] | None = None
        self._misses = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The managed fields."""
        return self._desired.fields

    def see(self, block: pa.Table) -> int:
        """Take in rows of the default list; how many were news, give or take those that a hash is shared with."""
        self._say(Said.SEEN, block)
        hashes = np.unique(hashed(block["uid"].combine_chunks()))
        news = int((~self._is_shown(hashes)).sum())
        at = hashes % _BITS
        np.bitwise_or.at(self._shown, (at >> 3).astype(np.int64), (1 << (at & 7)).astype(np.uint8))
        return news

    def see_deactivated(self, block: pa.Table) -> int:
        """Take in rows of the walk of the deactivated; how many there were."""
        off = block.filter(block["deactivated"])
        self._say(Said.SEEN_DEACTIVATED, off)
        return len(off)

    def is_news(self, uids: pa.Array) -> bool:
        """Whether one of these was not seen so far, or could not be told from such a one. Thread-safe."""
        hashes = hashed(uids)
        if self._wanted is None or not self._is_shown(hashes).all():
            return True
        at = np.searchsorted(self._wanted, hashes)
        at = np.minimum(at, len(self._wanted) - 1)
        return bool(len(self._wanted) and (self._wanted[at] == hashes).any())

    def disputed(self) -> list[str]:
        """The uids that were seen both active and deactivated."""
        return sorted(uid for look in self._looked() for uid in look.disputed)

    def unseen(self) -> "Unseen":
        """The desired uids that nothing has shown so far."""
        count = sum(look.unseen for look in self._looked())
        found = Unseen(self._desired.shelf, len(self._parts), count)
        if count <= _UNSEEN:
            hashes = [hashed(uids) for uids in found.columns()]
            self._wanted = np.sort(np.concatenate(hashes))
        return found

    def likely(self, group: str, among: Collection[str]) -> list[str]:
        """Give a few desired uids of `among` that should have some of a group (tags, metadata)."""
        calls = [
            (self._parts[part], group, tuple(uids)) for part, uids in by_partition(among, len(self._parts)).items()
        ]
        found = sorted(row for rows in self._desired.engine.each(find_likely, calls) for row in rows)
        return [uid for _, uid in found[:LIKELY]]

    def settle_active(self, uid: str) -> None:
        """A look says that a disputed user is active."""
        self._settle(Said.IS_ACTIVE, [uid])

    def settle_deactivated(self, uid: str) -> None:
        """A look says that a disputed user is not active."""
        self._settle(Said.IS_DEACTIVATED, [uid])

    def settle_unsure(self, uid: str) -> None:
        """No look could settle a disputed user."""
        self._settle(Said.IS_UNSURE, [uid])

    def settle_unknown(self, uids: Iterable[str]) -> None:
        """The directory could not say."""
        self._settle(Said.IS_UNKNOWN, [*uids])

    def settle_unseen(self) -> None:
        """A second look showed nobody more: whom nothing has shown so far is missing."""
        self._misses = True

    def conclude(self, *, whole: bool, hidden: frozenset[str], decided: Decided) -> tuple["Gathered", Found]:
        """Close every partition, and give the differences and the numbers of all."""
        self._split.flush()
        tried = {uid for uid, _, _ in decided.stuck | decided.known}
        ours, stuck = (by_partition(uids, len(self._parts)) for uids in (decided.ours, tried))
        recent = _split(decided.recent, len(self._parts))
        own = [_own(decided, part.number, ours, stuck, recent[part.number]) for part in self._parts]
        calls = [
            (self._told(part), Closing(whole, hidden, self._misses, of_part))
            for part, of_part in zip(self._parts, own, strict=True)
        ]
        found = merged(self._desired.engine.each(close, calls))
        visible = tuple(name for name in self.fields if name not in hidden)
        return Gathered(self._desired.shelf, len(self._parts), self.fields, visible), found

    def _looked(self) -> list[Look]:
        """See where those partitions stand that were told something since."""
        self._split.flush()
        due = sorted(self._split.touched)
        self._split.touched.clear()
        calls = [(self._told(self._parts[number]),) for number in due]
        for number, found in zip(due, self._desired.engine.each(look, calls), strict=True):
            self._looks[number] = found
        return self._looks

    def _told(self, part: Part) -> Part:
        """Give a partition with all that was said of it so far."""
        return replace(part, log=tuple(self._split.names[part.number]))

    def _is_shown(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        at = hashes % _BITS
        shown: npt.NDArray[np.bool_] = (
            self._shown[(at >> 3).astype(np.int64)] >> (at & 7).astype(np.uint8)
        ) & 1 > 0
        return shown

    def _settle(self, said: Said, uids: list[str]) -> None:
        if uids:
            empty = no_rows(self.fields).select(self._columns[1:])
            nothing = {name: pa.nulls(len(uids), empty[name].type) for name in empty.column_names}
            self._say(said, pa.table({"uid": pa.array(uids, pa.string()), **nothing}))

    def _say(self, said: Said, rows: pa.Table) -> None:
        rows = rows.select(self._columns).append_column("said", pa.array(np.full(len(rows), said, dtype=np.int8)))
        self._split.add(rows, partition_of(rows["uid"].combine_chunks(), len(self._parts)))


@dataclass(frozen=True, slots=True)
class Unseen:
    """Users that nothing has shown, as they stand in the partitions."""

    shelf: Shelf
    parts: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        for uids in self.columns():
            yield from uids.to_pylist()

    def columns(self) -> Iterator[pa.Array]:
        """Give them partition by partition."""
        return (self.shelf.table(name_of("unseen", part))["uid"].combine_chunks() for part in range(self.parts))


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everybody whom changes are made of, from all partitions, each kind by uid."""

    shelf: Shelf
    parts: int
    fields: tuple[str, ...]
    visible: tuple[str, ...]

    def missing(self) -> Iterator[Difference]:
        """The users to create."""
        return self._together("missing", lambda pieces: missing(pieces, self.fields))

    def drifted(self) -> Iterator[Difference]:
        """The active users that differ."""
        return self._together("drifted", lambda pieces: differences(pieces, self.fields, self.visible))

    def deactivated(self) -> Iterator[Difference]:
        """The desired users that are deactivated in the directory."""
        return self._together("deactivated", lambda pieces: differences(pieces, self.fields, self.visible))

    def leaving(self) -> Iterator[str]:
        """The active users outside the source that nobody touched after the export."""
        return merge(*(leaving(self._pieces("unmanaged", part)) for part in range(self.parts)))

    def _together(
        self, kind: str, made: Callable[[Iterator[pd.DataFrame]], Iterator[Difference]]
    ) -> Iterator[Difference]:
        each = (made(self._pieces(kind, part)) for part in range(self.parts))
        return merge(*each, key=attrgetter("uid"))

    def _pieces(self, kind: str, part: int) -> Iterator[pd.DataFrame]:
        for piece in self.shelf.pieces(name_of(kind, part)):
            yield frame_of(piece)


def _own(
    decided: Decided, number: int, ours: dict[int, list[str]], stuck: dict[int, list[str]], recent: Recent
) -> Decided:
    """Give what of these decisions bears on the users of one partition; `recent` is its own part of that."""
    uids = frozenset(stuck.get(number, ()))
    return Decided(
        decided.policy,
        {uid: decided.ours[uid] for uid in ours.get(number, ())},
        frozenset(entry for entry in decided.stuck if entry[0] in uids),
        recent=recent,
        known=frozenset(entry for entry in decided.known if entry[0] in uids),
    )


def _split(recent: Recent, parts: int) -> list[Recent]:
    """Give each partition its users of each class. All of them have every class, so that their numbers add up."""
    found: list[Recent] = [{window: {} for window in recent} for _ in range(parts)]
    for window, classes in recent.items():
        for kind, uids in classes.items():
            at = partition_of(uids, parts)
            for number, own in enumerate(found):
                own[window][kind] = uids.filter(pa.array(at == number))
    return found
