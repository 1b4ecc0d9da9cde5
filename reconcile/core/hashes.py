"""
Hash millions of texts into 64 bits each, eight bytes of many at a time, and without making an object of any.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["U64", "Hashes", "hashed"]

U64 = np.dtype("<u8")
Hashes = npt.NDArray[np.uint64]

_CHUNK = 65_536  # texts that are hashed at a time: their words stay in the processor's cache
_ODD = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def hashed(texts: pa.Array, secret: str = "") -> Hashes:
    """Hash each text by a secret; without it nobody can tell which texts share a hash, or come first by it."""
    keys = np.frombuffer(blake2b(secret.encode(), digest_size=16).digest(), U64)
    parts = [_hashed(texts.slice(start, _CHUNK), keys) for start in range(0, len(texts), _CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=U64)


def _hashed(texts: pa.Array, keys: Hashes) -> Hashes:
    _, bounds, data = texts.buffers()
    ends = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    text = np.zeros(ends[-1] - ends[0] + U64.itemsize, np.uint8)
    # Where all texts are empty there may be no bytes at all.
    text[: -U64.itemsize] = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    # The eight bytes from each byte on, as one number.
    words = np.ndarray(len(text) - U64.itemsize + 1, U64, text.data, strides=(1,))
    starts, lengths = ends[:-1] - ends[0], np.diff(ends)
    mixed = lengths.astype(U64) ^ keys[0]
    for at in range(0, int(lengths.max()), U64.itemsize):
        open_ = np.flatnonzero(lengths > at)
        surplus = 8 * np.maximum(at + U64.itemsize - lengths[open_], 0).astype(U64)
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
