"""
How many users an export has otherwise than the one before it, without a memory of every user.

A sketch keeps the users with the smallest hashes of their uids. Whoever it is drawn from, the same uids come
first, so two sketches meet in the same users; below the largest hash that it has, a sketch knows everybody.
"""

from collections.abc import Callable, Collection
from hashlib import blake2b

import msgspec
import numpy as np
import pyarrow as pa

from reconcile.core.baseline import Sketch
from reconcile.core.hashes import U64, hashed

__all__ = ["SAMPLE", "Changed", "changed_since", "fingerprint", "sample_of", "sketch_of", "without"]

SAMPLE = 8_192  # users: half of them changed is told to 0.6 percent points


class Changed(msgspec.Struct, frozen=True):
    """How many users of an earlier export a later one has with other values, and how many not at all."""

    other: int
    gone: int


def fingerprint(words: dict[str, str], version: str) -> str:
    """Sum up what values are made by: the mapping in words, and the version of the rules that carry it out."""
    text = msgspec.json.encode([version, words], order="deterministic")
    return blake2b(text, digest_size=8).hexdigest()


def sample_of(users: pa.Table, secret: str) -> pa.Table:
    """Give the users, by their column `uid`, that a sketch of these and of any others has to choose from."""
    hashes = hashed(_uids(users), secret)
    lowest = np.argpartition(hashes, SAMPLE)[:SAMPLE] if len(hashes) > SAMPLE else np.arange(len(hashes))
    return users.take(pa.array(lowest[np.argsort(hashes[lowest])]))


def sketch_of(
    sample: pa.Table, count: int, mapping: str, *, secret: str, forgotten: Callable[[list[str]], Collection[str]]
) -> Sketch:
    """Draw the sketch of so many users from their sample. Whom `forgotten` gives of the sampled is left out."""
    hashes = hashed(_uids(sample), secret)
    rows = sample.to_pylist()
    left_out = set(forgotten([row["uid"] for row in rows]))
    kept = np.array([row["uid"] not in left_out for row in rows], dtype=bool)
    return Sketch(
        mapping,
        count - int((~kept).sum()),
        hashes[kept].tobytes(),
        b"".join(_row_hash(row, secret) for row in rows if row["uid"] not in left_out),
    )


def changed_since(before: Sketch, now: Sketch) -> Changed | None:
    """Estimate what became of the users of an earlier export; None where nothing can be said."""
    then, today = np.frombuffer(before.uids, U64), np.frombuffer(now.uids, U64)
    # Above the last hash of a sample there are users that it does not know.
    known = then <= today[-1] if 0 < len(today) < now.users else np.ones(len(then), dtype=bool)
    if before.mapping != now.mapping or not known.any():
        return None
    gone = ~np.isin(then[known], today)
    same = np.isin(np.frombuffer(before.rows, U64)[known], np.frombuffer(now.rows, U64))
    each = before.users / len(gone)
    return Changed(round(int((~same & ~gone).sum()) * each), round(int(gone.sum()) * each))


def without(sketch: Sketch, uid: str, secret: str) -> Sketch:
    """Take one user out of a sketch, where it is in it."""
    uids = np.frombuffer(sketch.uids, U64)
    kept = uids != hashed(pa.array([uid]), secret)
    rows = np.frombuffer(sketch.rows, U64)[kept]
    return Sketch(sketch.mapping, sketch.users - int((~kept).sum()), uids[kept].tobytes(), rows.tobytes())


def _uids(users: pa.Table) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.string()), *users["uid"].chunks])


def _row_hash(row: dict[str, str | None], secret: str) -> bytes:
    text = msgspec.json.encode(row, order="deterministic")
    return blake2b(text, key=secret.encode(), digest_size=U64.itemsize).digest()
