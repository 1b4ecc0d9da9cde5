"""
The arithmetic of the rate budgets: how fast each group may go, given what the answers said.

Pure: `now_s` is a monotonic time in seconds that the caller hands in. Rates are in requests a minute.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, inf
from typing import TypeVar

__all__ = ["ASSUMED_LIMIT", "Budget", "RateGroup", "hungry", "in_flight"]

# The vendor's smallest documented limit (its free plan); nothing is known before the first header.
ASSUMED_LIMIT = 500.0
# Even spacing at 98 % of a limit met no refusal from any kind of server window; at 100 % it did.
MARGIN = 0.98
WINDOW_S = 60.0
# A thread wakes a little after its slot, and now and then none is ready: what is lost so is made up for, up to this
# much of it. A bucket on the other side holds a second's worth or more.
CATCH_UP_S = 0.25
_LEAST, _MOST = 4, 192  # requests in flight: each is a thread, and more would not have more of the interpreter
_AHEAD = 1.5  # of what rate and latency make: some wait at the gate, so that no slot goes by
_FLOOR = 0.05  # of the limit: yielding never means standing still
_RESERVE = 0.01  # of the limit: when less is left, whoever uses it, we slow down and let it fill up
_NOISE = 0.01  # of the limit: what is under way is counted here and not yet there, or the other way round


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
    _left: float = inf
    _sent: deque[float] = field(default_factory=deque)
    _foreign: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def is_learnt(self) -> bool:
        """Whether a header or a setting named the limit."""
        return self.limit is not None or self.fixed is not None

    @property
    def most(self) -> float:
        """The requests that a minute may have where nobody else is using the app."""
        if self.limit is None:
            return self.fixed if self.fixed is not None else ASSUMED_LIMIT * min(self.share, MARGIN)
        ours = self.limit * min(self.share, MARGIN)
        return ours if self.fixed is None else min(ours, self.fixed)

    def rate(self, now_s: float) -> float:
        """Give the requests a minute that may be sent now."""
        most = self.most
        if self.limit is None:
            return most
        free = self.limit * MARGIN - self.foreign(now_s)
        brake = min(1.0, self._left / (self.limit * _RESERVE))
        return max(min(most, free) * brake, min(most, self.limit * _FLOOR))

    def foreign(self, now_s: float) -> float:
        """Give the most that others were seen to use in a window, over the last window."""
        while self._foreign and self._foreign[0][0] < now_s - WINDOW_S:
            self._foreign.popleft()
        return self._foreign[0][1] if self._foreign else 0.0

    def spent(self, now_s: float) -> tuple[int, float]:
        """Give the requests that we sent in the last minute, and the limit that holds or is assumed."""
        self._forget(now_s)
        limit = self.limit if self.limit is not None else self.fixed
        return len(self._sent), limit if limit is not None else ASSUMED_LIMIT

    def wait_s(self, now_s: float) -> float:
        """Give the seconds until the next slot; 0 when it is free."""
        wait, most = self.next_s - now_s, ceil(self.most)
        if len(self._sent) >= most:
            # However much is made up for, no minute gets more than its own.
            wait = max(wait, self._sent[len(self._sent) - most] + WINDOW_S - now_s)
        return max(0.0, wait)

    def take(self, now_s: float) -> None:
        """Use the slot that is free now."""
        self._sent.append(now_s)
        self._forget(now_s)
        slot_s = WINDOW_S / self.rate(now_s)
        # Whoever comes late by more was idle, and idle time is not saved up.
        is_on_time = now_s - self.next_s <= slot_s * int(CATCH_UP_S / slot_s)
        self.next_s = (self.next_s if is_on_time else now_s) + slot_s

    def observe(self, now_s: float, limit: float | None, remaining: float | None) -> None:
        """Learn from one answer's headers; `None` for what it did not carry."""
        # What a refusal alone tells does not hold for what comes after it.
        self._left = inf if remaining is None or (limit or 0) <= 0 else remaining
        if limit is None or limit <= 0:
            return
        self.limit = limit
        if remaining is not None:
            self._forget(now_s)
            # Whatever the server counted in its window that we did not send, others sent.
            used = limit - remaining - len(self._sent)
            if used > limit * _NOISE:
                # An older and smaller number can no longer be the most.
                while self._foreign and self._foreign[-1][1] <= used:
                    self._foreign.pop()
                self._foreign.append((now_s, used))
            self.foreign(now_s)
        # A slot reserved at a slower rate is not waited for.
        self.next_s = min(self.next_s, now_s + WINDOW_S / self.rate(now_s))

    def _forget(self, now_s: float) -> None:
        while self._sent and self._sent[0] < now_s - WINDOW_S:
            self._sent.popleft()


def in_flight(rates: Iterable[float], latency_s: float) -> int:
    """Give how many requests to have in flight, so that these rates a minute are reached with such a time to an answer."""
    return max(_LEAST, min(_MOST, round(sum(rates) / WINDOW_S * latency_s * _AHEAD)))


K = TypeVar("K", bound=Hashable)


def hungry(
    lanes: Collection[K],
    costs: Mapping[K, Mapping[RateGroup, int]],
    flying: Mapping[K, int],
    rates: Mapping[RateGroup, float],
) -> K:
    """
    Choose the lane whose work is to be taken up next: the one that feeds the budget with the least before it.

    `costs` are the requests that one piece of a lane's work takes of each group, `flying` the pieces under way,
    `rates` requests a minute. So each budget has work before it in proportion to its rate, whatever the latency, and
    none waits while the other is full.
    """
    ahead = {
        group: sum(number * costs[lane].get(group, 0) for lane, number in flying.items()) / rate
        for group, rate in rates.items()
    }
    emptiest = min(ahead, key=lambda group: ahead[group])
    return max(lanes, key=lambda lane: costs[lane].get(emptiest, 0) / sum(costs[lane].values()))
