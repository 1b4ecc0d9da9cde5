"""
Whether a user in the directory is still as a write of ours left it. Pure.

The uid alone does not say so: a user may have been deleted for good and made anew, or switched on by a person and
deactivated again by a moderator.
"""

from collections.abc import Mapping

import msgspec

__all__ = [
    "NEAR_S",
    "OTHER_DEACTIVATION",
    "OTHER_RECORD",
    "Left",
    "left_by",
    "owned",
    "was_made_after",
    "was_near",
]

# Why a change is left, where the user is not as our write, or the plan, left it.
OTHER_DEACTIVATION = "deactivated by another: not since the time that the plan is about"
OTHER_RECORD = "another user: the record that the plan is about was deleted, and this one was made since"
NEAR_S = 300  # how far the clocks of this machine and of the service may be apart, and how long a request may take


class Left(msgspec.Struct, frozen=True):
    """
    What a write of ours left of a user, in unix seconds of the service's clock. None means not known.

    `created_at` is when the record was made, `deactivated_at` since when it is deactivated. `between` is used where no
    date was kept: the earliest and the latest time at which the write can have been made.
    """

    created_at: int | None = None
    deactivated_at: int | None = None
    between: tuple[int, int] | None = None

    def is_deactivation(self, created_at: int | None, deactivated_at: int | None) -> bool:
        """Whether a record with these dates is deactivated by that write; False where nobody can tell."""
        if not deactivated_at:
            return False
        if self.deactivated_at is not None:
            return (self.created_at, self.deactivated_at) == (created_at, deactivated_at)
        return self.between is not None and self.between[0] <= deactivated_at <= self.between[1]

    def is_known(self) -> bool:
        """Whether a deactivation can be compared with this at all."""
        return self.deactivated_at is not None or self.between is not None


def left_by(
    created_at: int | None,
    deactivated_at: int | None,
    intended_at: int | None,
    began: int | None,
    ended: int | None,
) -> Left:
    """
    Give what a write left, from what the journal has of it.

    The dates are exact where they were read back. Else the write was made near its intent; and where an older version
    recorded no time of the intent, between the start and the end of its run.
    """
    if deactivated_at is not None:
        return Left(created_at, deactivated_at)
    if intended_at is not None:
        return Left(created_at, None, (intended_at - NEAR_S, intended_at + NEAR_S))
    if began is not None and ended is not None:
        return Left(created_at, None, (began - NEAR_S, ended + NEAR_S))
    return Left(created_at)


def was_near(date: int | None, intended_at: int | None) -> bool:
    """Whether a date of a record (unix seconds) can be that of a write which was recorded at this time."""
    return date is not None and intended_at is not None and abs(date - intended_at) <= NEAR_S


def was_made_after(created_at: int | None, intended_at: int | None) -> bool:
    """Whether a record is younger than a write which was recorded at this time, and so not the one that it was about."""
    return created_at is not None and intended_at is not None and created_at > intended_at + NEAR_S


def owned(ours: Mapping[str, Left], uid: str, created_at: int | None, deactivated_at: int | None) -> bool:
    """Whether this user is deactivated by one of these deactivations."""
    left = ours.get(uid)
    return left is not None and left.is_deactivation(created_at, deactivated_at)
