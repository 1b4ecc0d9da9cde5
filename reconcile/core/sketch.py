"""
How many users an export has otherwise than the one before it, without a memory of every user.

A sketch keeps the users with the smallest hashes of their uids. Whoever it is drawn from, the same uids come
first, so two sketches meet in the same users; below the largest hash that it has, a sketch knows everybody.
"""

from collections.abc import Callable, Collection
from hashlib import blake2b

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reconcile.core.baseline import Sketch

__all__ = ["SAMPLE", "Changed", "changed_since", "fingerprint", "sketch_of", "without"]

SAMPLE = 8_192  # users: half of them changed is told to 0.6 percent points
_CHUNK = 65_536  # uids that are hashed at a time: their words stay in the processor's cache
_U64 = np.dtype("<u8")
_ODD = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

Hashes = npt.NDArray[np.uint64]


class Changed(msgspec.Struct, frozen=True):
    """How many users of an earlier export a later one has with other values, and how many not at all."""

    other: int
    gone: int


def fingerprint(words: dict[str, str], version: str) -> str:
    """Sum up what values are made by: the mapping in words, and the version of the rules that carry it out."""
    text = msgspec.json.encode([version, words], order="deterministic")
    return blake2b(text, digest_size=8).hexdigest()


def sketch_of(
    users: pa.Table, mapping: str, *, secret: str, forgotten: Callable[[list[str]], Collection[str]]
) -> Sketch:
    """Draw the sample of users that have a column `uid`. Whom `forgotten` gives of the sampled is left out."""
    hashes = _hashes(users["uid"].combine_chunks(), secret)
    lowest = np.argpartition(hashes, SAMPLE)[:SAMPLE] if len(hashes) > SAMPLE else np.arange(len(hashes))
    lowest = lowest[np.argsort(hashes[lowest])]
    rows = users.take(pa.array(lowest)).to_pylist()
    left_out = set(forgotten([row["uid"] for row in rows]))
    kept = np.array([row["uid"] not in left_out for row in rows], dtype=bool)
    return Sketch(
        mapping,
        len(hashes) - int((~kept).sum()),
        hashes[lowest][kept].tobytes(),
        b"".join(_row_hash(row, secret) for row in rows if row["uid"] not in left_out),
    )


def changed_since(before: Sketch, now: Sketch) -> Changed | None:
    """Estimate what became of the users of an earlier export; None where nothing can be said."""
    then, today = np.frombuffer(before.uids, _U64), np.frombuffer(now.uids, _U64)
    # Above the last hash of a sample there are users that it does not know.
    known = then <= today[-1] if 0 < len(today) < now.users else np.ones(len(then), dtype=bool)
    if before.mapping != now.mapping or not known.any():
        return None
    gone = ~np.isin(then[known], today)
    same = np.isin(np.frombuffer(before.rows, _U64)[known], np.frombuffer(now.rows, _U64))
    each = before.users / len(gone)
    return Changed(round(int((~same & ~gone).sum()) * each), round(int(gone.sum()) * each))


def without(sketch: Sketch, uid: str, secret: str) -> Sketch:
    """Take one user out of a sketch, where it is in it."""
    uids = np.frombuffer(sketch.uids, _U64)
    kept = uids != _hashes(pa.array([uid]), secret)
    rows = np.frombuffer(sketch.rows, _U64)[kept]
    return Sketch(sketch.mapping, sketch.users - int((~kept).sum()), uids[kept].tobytes(), rows.tobytes())


def _row_hash(row: dict[str, str | None], secret: str) -> bytes:
    text = msgspec.json.encode(row, order="deterministic")
    return blake2b(text, key=secret.encode(), digest_size=_U64.itemsize).digest()


def _hashes(uids: pa.Array, secret: str) -> Hashes:
    """Hash uids by a secret, eight bytes of many at a time, and without making an object of any."""
    keys = np.frombuffer(blake2b(secret.encode(), digest_size=16).digest(), _U64)
    parts = [_hashed(uids.slice(start, _CHUNK), keys) for start in range(0, len(uids), _CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=_U64)


def _hashed(uids: pa.Array, keys: Hashes) -> Hashes:
    _, bounds, data = uids.buffers()
    ends = np.frombuffer(bounds, np.int32)[uids.offset : uids.offset + len(uids) + 1].astype(np.int64)
    text = np.zeros(ends[-1] - ends[0] + _U64.itemsize, np.uint8)
    text[: -_U64.itemsize] = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    # The eight bytes from each byte on, as one number.
    words = np.ndarray(len(text) - _U64.itemsize + 1, _U64, text.data, strides=(1,))
    starts, lengths = ends[:-1] - ends[0], np.diff(ends)
    mixed = lengths.astype(_U64) ^ keys[0]
    for at in range(0, int(lengths.max()), _U64.itemsize):
        open_ = np.flatnonzero(lengths > at)
        surplus = 8 * np.maximum(at + _U64.itemsize - lengths[open_], 0).astype(_U64)
        word = words[starts[open_] + at] << surplus
        mixed[open_] = _mixed(mixed[open_] ^ word)
    # Two ways of mixing, one upon the other: neither can be gone back alone.
    found: Hashes = _mixed(mixed ^ keys[0]) ^ _mixed(mixed ^ keys[1])
    return found


def _mixed(numbers: Hashes) -> Hashes:
    for odd in _ODD:
        numbers = (numbers ^ (numbers >> np.uint64(30))) * odd
    mixed: Hashes = numbers ^ (numbers >> np.uint64(31))
    return mixed
