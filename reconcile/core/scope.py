"""
Which users are ours: those that our runs created, or that an export which passed its checks once held.

They are kept as sorted 64-bit hashes that are keyed with the secret of the state file: 8 bytes a user. A user that shares
its hash with one of ours is taken for one of ours: among a million users and a million strangers the chance of one such
pair is less than one in ten million.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice

import numpy as np
import pyarrow as pa

from reconcile.core.findings import Differences
from reconcile.core.found import Found, in_scope
from reconcile.core.hashes import U64, Hashes, hashed
from reconcile.core.problems import Mask

__all__ = ["NOBODY", "Scope", "hashes_of", "narrowed", "together", "without"]

NOBODY: Hashes = np.empty(0, dtype=U64)
_AT_ONCE = 65_536  # uids that are Python objects at one time


class Scope:
    """The users that are ours. `hashes` are sorted, each there once."""

    def __init__(self, hashes: Hashes, secret: str) -> None:
        self._hashes = hashes
        self._secret = secret

    def __len__(self) -> int:
        return len(self._hashes)

    def has(self, uids: Sequence[str]) -> Mask:
        """Mark the uids that are ours."""
        wanted = hashed(pa.array(uids, pa.string()), self._secret)
        at = np.searchsorted(self._hashes, wanted)
        mask = at < len(self._hashes)
        mask[mask] = self._hashes[at[mask]] == wanted[mask]
        return mask

    def within(self, uids: Iterable[str]) -> Iterator[str]:
        """Keep those of many uids that are ours, in their order."""
        for some in _pieces(uids):
            yield from compress(some, self.has(some))


def narrowed(found: Found, differences: Differences, scope: Scope) -> Found:
    """Count the users to deactivate that are ours, and those that the scope leaves out."""
    inside = outside = 0
    for some in _pieces(differences.leaving()):
        mask = scope.has(some)
        inside += int(mask.sum())
        outside += int((~mask).sum())
    return in_scope(found, inside, outside)


def hashes_of(uids: Iterable[str], secret: str) -> Hashes:
    """Hash many uids, in any order, with doubles; a piece of them is in memory at a time."""
    return together(*(hashed(pa.array(some, pa.string()), secret) for some in _pieces(uids)))


def together(*parts: Hashes) -> Hashes:
    """Give the hashes of all parts, sorted, each once."""
    every: Hashes = np.concatenate([NOBODY, *parts])
    every.sort(kind="stable")  # parts that are sorted already are only merged
    is_first = np.ones(len(every), dtype=bool)
    is_first[1:] = every[1:] != every[:-1]
    return every[is_first]


def without(hashes: Hashes, uids: Iterable[str], secret: str) -> Hashes:
    """Take some uids out. A user that shares its hash with one of them is taken out too, until an export shows it again."""
    found: Hashes = np.setdiff1d(hashes, hashes_of(uids, secret), assume_unique=True)
    return found


def _pieces(uids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(uids)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
