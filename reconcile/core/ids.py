"""
Make legal uids of ids that CometChat would not take.

The app's own login code has to name its users exactly as the job does, so these functions are public
(`from reconcile import hash_suffix`) and simple enough to be written again in any language; docs/mapping.md
has the rules and test vectors.
"""

import re
from hashlib import sha256

__all__ = ["INVISIBLE", "hash_suffix", "lower", "strip"]

# What copying out of spreadsheets and web pages leaves around a text: white space, and characters without
# width (soft hyphen, zero-width space and joiners, direction marks, word joiner, byte-order mark).
INVISIBLE = (
    "\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\xad\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
_UID_LIMIT = 100
_DIGITS = 16  # 64 bits: among ten million ids, two share a suffix with a probability of 3 in a million
_ILLEGAL = re.compile(r"[^a-z0-9_-]+")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def strip(text: str) -> str:
    """Take white space and invisible characters off both ends."""
    return text.strip(INVISIBLE)


def lower(text: str) -> str:
    """Lower the letters A to Z, and no others: what another alphabet means by that differs by language."""
    return text.translate(_LOWER)


def hash_suffix(text: str) -> str:
    """
    Make a legal uid that keeps different ids apart: a readable part, a dash, and a hash of the whole id.

    The hash is the first 16 hexadecimal digits of SHA-256 over the UTF-8 bytes of `text`. The readable part
    is the text in lower case with every run of other characters than a-z, 0-9, _ and - as one dash, without
    dashes at its ends, and cut to what leaves 100 characters in all; it may be empty, and then the uid is the
    hash alone. An empty text stays empty.
    """
    if not text:
        return ""
    digest = sha256(text.encode()).hexdigest()[:_DIGITS]
    readable = _ILLEGAL.sub("-", lower(text))[: _UID_LIMIT - _DIGITS - 1].strip("-")
    return f"{readable}-{digest}" if readable else digest
