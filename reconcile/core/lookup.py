"""
Find the row of a uid among millions, block after block, at a cost that grows with the block alone.

A hash table made anew for each block of the directory would make the whole walk quadratic; this index is
made once: 64-bit hashes of all uids, sorted, searched by bisection, and each hit proven by comparing text.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["UidIndex"]

_CHUNK = 131_072  # uids that are Python objects at one time, while they are hashed


class UidIndex:
    """The rows of a column of distinct uids, by uid."""

    def __init__(self, uids: pa.Array) -> None:
        self._uids = uids
        hashes = _hashes(uids)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def rows(self, uids: pa.Array) -> npt.NDArray[np.int64]:
        """Give the row of each uid, -1 where it is not there."""
        rows = np.full(len(uids), -1, dtype=np.int64)
        if not len(self._sorted) or not len(uids):
            return rows
        wanted = _hashes(uids)
        at = np.searchsorted(self._sorted, wanted, side="left")
        open_ = np.arange(len(uids))
        # More than one round is needed only where two uids share all 64 bits.
        while len(open_):
            open_ = open_[at[open_] < len(self._sorted)]
            open_ = open_[self._sorted[at[open_]] == wanted[open_]]
            found = self._order[at[open_]]
            same = pc.equal(self._uids.take(pa.array(found)), uids.take(pa.array(open_)))
            hit = same.to_numpy(zero_copy_only=False).astype(bool)
            rows[open_[hit]] = found[hit]
            open_ = open_[~hit]
            at[open_] += 1
        return rows


def _hashes(uids: pa.Array) -> npt.NDArray[np.uint64]:
    parts = [
        pd.util.hash_array(uids.slice(start, _CHUNK).to_numpy(zero_copy_only=False), categorize=False)
        for start in range(0, len(uids), _CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
