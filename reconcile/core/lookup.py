"""
Find the row of a uid among millions, block after block, at a cost that grows with the block alone.

A hash table made anew for each block of the directory would make the whole walk quadratic; this index is
made once: 64-bit hashes of all uids, sorted, searched by bisection, and each hit proven by comparing text.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.hashes import hashed
from reconcile.core.problems import Mask, true

__all__ = ["UidIndex", "repeated"]


class UidIndex:
    """The rows of a column of distinct uids, by uid."""

    def __init__(self, uids: pa.Array) -> None:
        self._uids = uids
        hashes = hashed(uids)
        self._order = np.argsort(hashes)
        self._sorted = hashes[self._order]

    def rows(self, uids: pa.Array) -> npt.NDArray[np.int64]:
        """Give the row of each uid, -1 where it is not there."""
        rows = np.full(len(uids), -1, dtype=np.int64)
        wanted = hashed(uids)
        # In the order of the hashes each search begins where the last one ended, and memory is near.
        open_ = np.argsort(wanted)
        at = np.empty(len(uids), dtype=np.int64)
        at[open_] = np.searchsorted(self._sorted, wanted[open_])
        # More than one round is needed only where two uids share all 64 bits.
        while len(open_):
            open_ = open_[at[open_] < len(self._sorted)]
            open_ = open_[self._sorted[at[open_]] == wanted[open_]]
            found = self._order[at[open_]]
            hit = true(pc.equal(self._uids.take(pa.array(found)), uids.take(pa.array(open_))))
            rows[open_[hit]] = found[hit]
            open_ = open_[~hit]
            at[open_] += 1
        return rows


def repeated(uids: pa.Array) -> Mask:
    """Mark every uid that is there more than once."""
    hashes = hashed(uids)
    ordered = np.sort(hashes)
    mask: Mask = np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])
    # Those that share a hash are told apart by their texts.
    alike = uids.filter(pa.array(mask))
    counted = alike.value_counts()
    several = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    mask[mask] = true(pc.is_in(alike, value_set=several))
    return mask
