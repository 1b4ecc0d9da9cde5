"""
The users as they were before the last writes, for the reads that a slow replica answers.

Owns what each write changed, for as long as any fault in force looks back. Where none does, it keeps nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from reconcile.sandbox.users import User

__all__ = ["History"]


@dataclass(frozen=True, slots=True)
class _Write:
    unix_s: float
    uid: str
    before: User | None


class History:
    """
    The last writes; `reach_s` says how far back anybody may look.
    """

    def __init__(self, now: Callable[[], float], reach_s: Callable[[], float]) -> None:
        self._now = now
        self._reach_s = reach_s
        self._writes: deque[_Write] = deque()

    def note(self, uid: str, before: User | None) -> None:
        """
        Keep what a user is before it is written; None is a user that is not there.
        """
        reach_s = self._reach_s()
        if not reach_s:
            self._writes.clear()
            return
        now = self._now()
        while self._writes and self._writes[0].unix_s <= now - reach_s:
            self._writes.popleft()
        self._writes.append(_Write(now, uid, before and replace(before)))

    def since(self, unix_s: float) -> dict[str, User | None]:
        """
        Return the users that were written after a moment, as they were then.
        """
        past: dict[str, User | None] = {}
        for write in self._writes:
            if write.unix_s > unix_s:
                past.setdefault(write.uid, write.before)
        return past

    def clear(self) -> None:
        """
        Forget every write.
        """
        self._writes.clear()
