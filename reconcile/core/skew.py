"""
How far this machine's clock is from CometChat's, learnt from the `Date` header of the answers.

Times of users are by CometChat's clock, and those of exports by ours: what holds one against the other comes here first.
"""

from collections import deque
from collections.abc import Sequence
from math import ceil, floor

import msgspec

__all__ = ["FARTHEST_S", "NOTED_S", "Dated", "Moment", "Skew", "SkewMeter", "by_service", "doubt_of"]

NOTED_S = 5.0  # less than this is no news
FARTHEST_S = 300.0  # more than this, and no user is deactivated
_LAST = 9  # answers that count: enough to outvote a cached one, few enough to follow a clock that is set
_OLDEST, _LATEST = 1_400_000_000, 4_102_444_800  # 2014 and 2100: a `Date` from outside is nonsense


class Skew(msgspec.Struct, frozen=True):
    """How far this machine's clock is ahead of CometChat's: between `low_s` and `high_s` seconds; below 0 it is behind."""

    low_s: float
    high_s: float

    @property
    def ahead_s(self) -> float:
        """The best guess, in seconds; 0 where the answers show no difference."""
        return 0.0 if self.low_s <= 0 <= self.high_s else round((self.low_s + self.high_s) / 2, 1)

    @property
    def matters(self) -> bool:
        """Whether the difference is worth a word."""
        return abs(self.ahead_s) > NOTED_S

    @property
    def is_far(self) -> bool:
        """Whether it may be more than `FARTHEST_S`."""
        return self.high_s > FARTHEST_S or self.low_s < -FARTHEST_S

    @property
    def words(self) -> str:
        """The difference for people."""
        if not self.ahead_s:
            return "this machine's clock agrees with CometChat's"
        side = "ahead of" if self.ahead_s > 0 else "behind"
        return f"this machine's clock is {_span(abs(self.ahead_s))} {side} CometChat's"


class SkewMeter:
    """Learns from one answer after the other. Used by one thread at a time, or under a lock of its owner."""

    def __init__(self) -> None:
        self._seen: deque[Skew] = deque(maxlen=_LAST)

    def note(self, sent_unix_s: float, took_s: float, date_unix_s: float | None) -> None:
        """
        Take in one answer: when its request left by this machine's clock, how long it took, and its `Date`.

        A `Date` is in whole seconds; one that is absent or nonsense teaches nothing.
        """
        if date_unix_s is not None and _OLDEST <= date_unix_s <= _LATEST:
            self._seen.append(Skew(sent_unix_s - date_unix_s - 1, sent_unix_s + took_s - date_unix_s))

    def measured(self) -> Skew | None:
        """
        Give the narrowest bounds that a third of the last answers agree on; None where there was no usable one.

        Where several bounds have as many, the smallest difference counts: a single answer from a cache, or one look at
        a clock that jumps, only seems to show a larger one.
        """
        seen = (*self._seen,)
        agreed = [found for one in seen if 3 * len(found := _around(one.low_s, seen)) >= len(seen)]
        whole = [found for found in agreed if not any(found < other for other in agreed)]
        bounds = [
            Skew(max(seen[at].low_s for at in found), min(seen[at].high_s for at in found)) for found in whole
        ]
        return min(bounds, key=lambda skew: (abs(skew.ahead_s), skew.high_s - skew.low_s), default=None)


def _around(point_s: float, seen: Sequence[Skew]) -> frozenset[int]:
    return frozenset(at for at, one in enumerate(seen) if one.low_s <= point_s <= one.high_s)


def doubt_of(skew: Skew | None) -> str:
    """Say why no user is to be deactivated by these clocks, and what to do; empty where they are good enough."""
    if skew is None:
        return (
            "no answer of CometChat had a usable Date, so this machine's clock cannot be compared with its clock; "
            "see that no proxy takes the Date header away"
        )
    if skew.is_far:
        return f"{skew.words}, and more than {_span(FARTHEST_S)} are too much; set this machine's clock"
    return ""


class Moment(msgspec.Struct, frozen=True):
    """
    When an export was true, as it was read: unix seconds of this machine's clock.

    `is_given`: a person wrote it, and it is by the right time. `is_now`: it is the moment at which the read began.
    """

    as_of_unix_s: int
    read_unix_s: float
    is_given: bool = False
    is_now: bool = False


class Dated(msgspec.Struct, frozen=True):
    """
    When an export was true by CometChat's clock, unix seconds; never in the future.

    `earliest_unix_s` is the earliest that it can have been: what may switch a user off goes by that.
    """

    as_of_unix_s: int
    earliest_unix_s: int


def by_service(moment: Moment, skew: Skew | None) -> Dated:
    """Bring the time of an export to CometChat's clock; where that is not known, it is taken for ours."""
    now, least = moment.read_unix_s, moment.as_of_unix_s
    # The later a time seems, the fewer users count as newer: of what is possible, the earliest is safe.
    most = skew.high_s if skew else 0.0
    usual = most if skew and skew.ahead_s else 0.0
    if moment.is_given:
        return Dated(min(least, floor(now - usual)), min(least, floor(now - most)))
    if moment.is_now:
        return Dated(floor(now - usual), floor(now - most))
    least = min(least, floor(now))
    as_of = floor(least - usual)
    # Another machine, or this one when its clock was right, may have written the file.
    return Dated(as_of, min(least, floor(least - most)))


def _span(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size or (size == 60 and seconds >= size):
            return _counted(seconds / size, unit)
    return _counted(ceil(seconds), "second")


def _counted(number: float, unit: str) -> str:
    whole = round(number)
    return f"{whole:,} {unit}{'' if whole == 1 else 's'}"
