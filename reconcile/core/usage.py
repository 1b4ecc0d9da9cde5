"""How much of the rate budgets was used when: requests counted in buckets of time, never more than a page can show."""

from collections.abc import Mapping

import msgspec

from reconcile.core.pacing import RateGroup

__all__ = ["Meter", "Usage"]

_BUCKETS = 120
_FIRST_S = 1.0


class Usage(msgspec.Struct, frozen=True):
    """
    Requests by time: how many left in each bucket of `bucket_s` seconds since the first one, by rate group.

    `allowed` is what was ours at the end, in requests a minute by rate group.
    """

    bucket_s: float
    sent: dict[str, tuple[int, ...]]
    allowed: dict[str, float]


class Meter:
    """Counts requests as they leave. A run that lasts longer than its buckets makes each twice as wide."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._width_s = _FIRST_S
        self._buckets = {group: [0] * _BUCKETS for group in RateGroup}

    def note(self, now_s: float, group: RateGroup) -> None:
        """Count one request at a monotonic time in seconds."""
        if self._began_s is None:
            self._began_s = now_s
        while (at := int((now_s - self._began_s) / self._width_s)) >= _BUCKETS:
            self._width_s *= 2
            for counts in self._buckets.values():
                counts[:] = [a + b for a, b in zip(counts[::2], counts[1::2], strict=True)] + [0] * (_BUCKETS // 2)
        self._buckets[group][at] += 1

    def usage(self, allowed: Mapping[RateGroup, float]) -> Usage | None:
        """Give what was counted so far, up to the last bucket that has something; None where nothing left."""
        if self._began_s is None:
            return None
        last = max(at for counts in self._buckets.values() for at, number in enumerate(counts) if number)
        sent = {str(group): tuple(counts[: last + 1]) for group, counts in self._buckets.items()}
        return Usage(self._width_s, sent, {str(group): round(rate, 1) for group, rate in allowed.items()})
