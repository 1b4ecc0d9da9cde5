"""
What a user is, as the API shows it and as it is loaded.

Owns the fields and the legal form of a uid. The rules for what a request may write stand in `forms`.
"""

import re
import sys
from typing import Any

from msgspec import UNSET, Struct, UnsetType

__all__ = ["MAX_UID", "User", "settled"]

MAX_UID = 100  # vendor's documentation, "properties and constraints"
_is_legal = re.compile(r"[A-Za-z0-9_-]{1,100}").fullmatch


class User(Struct, omit_defaults=True, gc=False):
    """
    One user as the API shows it; a field that is unset has no key in an answer.

    Role, status and createdAt are always shown; they are blank only between being read and being settled.
    """

    uid: str
    name: str
    role: str = ""
    status: str = ""
    createdAt: int = 0  # noqa: N815 - the API's own name, as are those below
    avatar: str | UnsetType = UNSET
    link: str | UnsetType = UNSET
    metadata: Any = UNSET
    tags: list[str] | UnsetType = UNSET
    statusMessage: str | UnsetType = UNSET  # noqa: N815
    updatedAt: int | UnsetType = UNSET  # noqa: N815
    lastActiveAt: int | UnsetType = UNSET  # noqa: N815
    deactivatedAt: int | UnsetType = UNSET  # noqa: N815

    @property
    def is_active(self) -> bool:
        """
        Say whether the user has not been deactivated.
        """
        return self.deactivatedAt is UNSET


def settled(user: User, now_s: int) -> User:
    """
    Fill in what a loaded user leaves open: the built-in role, offline, created now.

    Raises: ValueError when the uid has characters or a length that the API refuses.
    """
    if not _is_legal(user.uid):
        raise ValueError(f"{user.uid!r} is not a legal uid: up to {MAX_UID} of a-z, 0-9, - and _")
    user.uid = user.uid.lower()
    # A million users share a few words; without this each would bring its own.
    user.role = sys.intern(user.role or "default")
    user.status = sys.intern(user.status or "offline")
    user.createdAt = user.createdAt or now_s
    user.tags = user.tags or UNSET
    user.deactivatedAt = user.deactivatedAt or UNSET
    return user
