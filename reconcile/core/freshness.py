"""
Who may be ahead of the export: users that somebody else touched in the directory after it was taken.

A role that was bought since then, or a user who signed up since then, is nothing that an export can deny.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Freshness"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """
    What the directory may know better than the export, which was true as of `as_of_unix_s`.

    `ours` maps a uid to the latest time (unix seconds) that a write of our own left there, where that is not before
    the export: else it says nothing. All times are by CometChat's clock. `earliest_unix_s` is the earliest that the export
    can have been true, where clocks leave a doubt; None is the same as `as_of_unix_s`.
    """

    as_of_unix_s: int | None = None
    ours: Mapping[str, int] = field(default_factory=dict)
    earliest_unix_s: int | None = None

    def is_newer(self, uid: str, created_at: int | None, updated_at: int | None) -> bool:
        """Whether the directory user was created or updated after the export, and not by us."""
        return self._moved_since(self.as_of_unix_s, uid, created_at, updated_at)

    def may_be_newer(self, uid: str, created_at: int | None, updated_at: int | None) -> bool:
        """Whether it can have been, whatever the clocks: such a user is never deactivated."""
        earliest = self.as_of_unix_s if self.earliest_unix_s is None else self.earliest_unix_s
        return self._moved_since(earliest, uid, created_at, updated_at)

    def _moved_since(self, then: int | None, uid: str, created_at: int | None, updated_at: int | None) -> bool:
        if then is None:
            return False
        last = max(created_at or 0, updated_at or 0)
        # Times are whole seconds: within the second of the export nobody can tell what was first.
        return last >= then and last > self.ours.get(uid, 0)
