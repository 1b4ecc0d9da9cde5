"""The mark of a forgotten user: enough to know the uid again where it comes, and not to tell it."""

from collections.abc import Collection, Iterable
from hashlib import blake2b

__all__ = ["forgotten_among", "tombstone"]


def tombstone(uid: str, salt: str) -> str:
    """Sum up a uid in 32 hexadecimal digits that only this state file's salt can make again."""
    return blake2b(uid.encode(), key=salt.encode(), digest_size=16).hexdigest()


def forgotten_among(uids: Iterable[str], salt: str, tombstones: Collection[str]) -> tuple[str, ...]:
    """Give those uids that were forgotten."""
    return tuple(uid for uid in uids if tombstone(uid, salt) in tombstones) if tombstones else ()
