"""
The users that shell-style patterns name, as in `policy.protect`.

What a pattern means is in `core.globs`.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconcile.core.globs import regex_of
from reconcile.core.problems import Mask

__all__ = ["matches", "matching"]


def matching(uids: Sequence[str] | pa.Array, patterns: Sequence[str]) -> list[str]:
    """Give the uids that a shell-style pattern names."""
    array = pa.array(uids, pa.string())
    found: list[str] = array.filter(pa.array(matches(array, patterns))).to_pylist()
    return found


def matches(uids: pa.Array, patterns: Sequence[str]) -> Mask:
    """Mark the uids that a shell-style pattern names. Raises: ValueError as `globs.regex_of`."""
    hit = np.zeros(len(uids), dtype=bool)
    for pattern in patterns:
        found = pc.match_substring_regex(uids, regex_of(pattern))
        hit |= found.to_numpy(zero_copy_only=False).astype(bool)
    return hit
