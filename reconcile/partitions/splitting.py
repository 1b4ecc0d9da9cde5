"""Split what streams by into partitions: which one a uid is in, and a buffer of what is not written so far."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reconcile.core.hashes import hashed
from reconcile.partitions.shelves import Shelf

__all__ = ["Splitter", "by_partition", "name_of", "partition_of"]

_BYTES = 64 << 20  # that wait in memory, of all partitions together


def name_of(side: str, part: int) -> str:
    """Name what a side has in a partition."""
    return f"{side}/{part:04}"


def partition_of(uids: pa.Array, parts: int) -> npt.NDArray[np.int64]:
    """Give the partition of each uid: the same on every machine, and on every night."""
    found: npt.NDArray[np.int64] = (hashed(uids) % np.uint64(parts)).astype(np.int64)
    return found


class Splitter:
    """One side on its way into its partitions, in the order in which it comes."""

    def __init__(self, shelf: Shelf, side: str, parts: int) -> None:
        self.parts = parts
        self.names: dict[int, list[str]] = defaultdict(list)  # what was written of each partition, in order
        self.touched: set[int] = set()  # which got rows; who asks may clear it
        self._shelf = shelf
        self._side = side
        self._waiting: dict[int, list[pa.Table]] = defaultdict(list)
        self._bytes = 0

    def begin(self, empty: pa.Table) -> None:
        """Have something in every partition, so that its columns are known."""
        for part in range(self.parts):
            self._write(part, empty)

    def add(self, rows: pa.Table, at: npt.NDArray[np.int64]) -> None:
        """Take in rows; `at` is the partition of each."""
        order = np.argsort(at, kind="stable")
        rows = rows.take(pa.array(order))
        found, starts = np.unique(at[order], return_index=True)
        for part, (start, end) in zip(found.tolist(), pairwise([*starts.tolist(), len(at)]), strict=True):
            self._waiting[part].append(rows.slice(start, end - start))
        self.touched.update(found.tolist())
        self._bytes += rows.nbytes
        if self._bytes >= _BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for part, tables in self._waiting.items():
            self._write(part, pa.concat_tables(tables).combine_chunks())
        self._waiting.clear()
        self._bytes = 0

    def _write(self, part: int, rows: pa.Table) -> None:
        name = f"{name_of(self._side, part)}/{len(self.names[part]):06}"
        self._shelf.write(name, rows)
        self.names[part].append(name)


def by_partition(uids: Iterable[str], parts: int) -> dict[int, list[str]]:
    """Sort uids by their partitions."""
    found: dict[int, list[str]] = defaultdict(list)
    every = list(uids)
    for uid, part in zip(every, partition_of(pa.array(every, pa.string()), parts).tolist(), strict=True):
        found[part].append(uid)
    return found
