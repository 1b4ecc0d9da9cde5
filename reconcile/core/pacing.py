"""
The arithmetic of the rate budgets: how fast each group may go, given what the answers said.

Pure: `now_s` is a monotonic time in seconds that the caller hands in. Rates are in requests a minute.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["ASSUMED_LIMIT", "Budget", "RateGroup"]

# The vendor's smallest documented limit (its free plan); nothing is known before the first header.
ASSUMED_LIMIT = 500.0
# Even spacing at 98 % of a limit met no refusal from any kind of server window; at 100 % it did.
MARGIN = 0.98
WINDOW_S = 60.0
_FLOOR = 0.05  # of the limit: yielding never means standing still


class RateGroup(StrEnum):
    """The two budgets that CometChat counts apart."""

    CORE = "core"
    STANDARD = "standard"


@dataclass(slots=True)
class Budget:
    """
    One group's budget: evenly spaced slots at the share of the limit that is ours.

    `fixed` is the rate that the settings name, and then headers only lower it; `share` is a fraction of 1.
    """

    share: float
    fixed: float | None = None
    limit: float | None = None
    next_s: float = 0.0
    _sent: deque[float] = field(default_factory=deque)
    _foreign: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def is_learnt(self) -> bool:
        """Whether a header or a setting named the limit."""
        return self.limit is not None or self.fixed is not None

    def rate(self, now_s: float) -> float:
        """Give the requests a minute that may be sent now."""
        if self.limit is None:
            return self.fixed if self.fixed is not None else ASSUMED_LIMIT * min(self.share, MARGIN)
        most = self.limit * min(self.share, MARGIN)
        if self.fixed is not None:
            most = min(most, self.fixed)
        free = self.limit * MARGIN - self.foreign(now_s)
        return max(min(most, free), self.limit * _FLOOR if most > self.limit * _FLOOR else most)

    def foreign(self, now_s: float) -> float:
        """Give the most that others were seen to use in a window, over the last window."""
        while self._foreign and self._foreign[0][0] < now_s - WINDOW_S:
            self._foreign.popleft()
        return self._foreign[0][1] if self._foreign else 0.0

    def wait_s(self, now_s: float) -> float:
        """Give the seconds until the next slot; 0 when it is free."""
        return max(0.0, self.next_s - now_s)

    def take(self, now_s: float) -> None:
        """Use the slot that is free now."""
        self._sent.append(now_s)
        self._forget(now_s)
        self.next_s = max(now_s, self.next_s) + 60.0 / self.rate(now_s)

    def observe(self, now_s: float, limit: float | None, remaining: float | None) -> None:
        """Learn from one answer's headers; `None` for what it did not carry."""
        if limit is None or limit <= 0:
            return
        self.limit = limit
        if remaining is not None:
            self._forget(now_s)
            # Whatever the server counted in its window that we did not send, others sent.
            used = limit - remaining - len(self._sent)
            if used > 0:
                # An older and smaller number can no longer be the most.
                while self._foreign and self._foreign[-1][1] <= used:
                    self._foreign.pop()
                self._foreign.append((now_s, used))
            self.foreign(now_s)
        # A slot reserved at a slower rate is not waited for.
        self.next_s = min(self.next_s, now_s + 60.0 / self.rate(now_s))

    def _forget(self, now_s: float) -> None:
        while self._sent and self._sent[0] < now_s - WINDOW_S:
            self._sent.popleft()
