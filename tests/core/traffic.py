"""A service and its clients on a virtual clock: how the budgets are used, with no thread and no socket in it."""

import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import Protocol

from reconcile.core.pacing import Budget, RateGroup, hungry

CORE, STANDARD = RateGroup.CORE, RateGroup.STANDARD
WINDOW_S = 60.0


class Window(Protocol):
    """One group's limit as a service may enforce it."""

    def spend(self, now_s: float) -> float | None:
        """Count a request, and give how many are left; None where it is refused."""


class FixedWindow:
    """So many in each minute of the clock."""

    def __init__(self, limit: int) -> None:
        self._limit, self._minute, self._count = limit, -1.0, 0

    def spend(self, now_s: float) -> float | None:
        minute = now_s // WINDOW_S
        if minute != self._minute:
            self._minute, self._count = minute, 0
        if self._count >= self._limit:
            return None
        self._count += 1
        return self._limit - self._count


class SlidingWindow:
    """So many in any sixty seconds."""

    def __init__(self, limit: int) -> None:
        self._limit, self._spent = limit, deque[float]()

    def spend(self, now_s: float) -> float | None:
        while self._spent and self._spent[0] <= now_s - WINDOW_S:
            self._spent.popleft()
        if len(self._spent) >= self._limit:
            return None
        self._spent.append(now_s)
        return self._limit - len(self._spent)


class SlidingCounter:
    """So many in a minute that is put together of this minute's count and a part of the last one's."""

    def __init__(self, limit: int) -> None:
        self._limit, self._counts = limit, Counter[int]()

    def spend(self, now_s: float) -> float | None:
        minute, into = divmod(now_s, WINDOW_S)
        number = int(minute)
        count = self._counts[number] + self._counts[number - 1] * (1 - into / WINDOW_S)
        if count + 1 > self._limit:
            return None
        self._counts[number] += 1
        return math.floor(self._limit - count - 1)


class TokenBucket:
    """A bucket that holds what comes in within a second."""

    def __init__(self, limit: int) -> None:
        self._rate, self._size = limit / WINDOW_S, limit / WINDOW_S
        self._tokens, self._at_s, self._limit = self._size, 0.0, limit

    def spend(self, now_s: float) -> float | None:
        self._tokens = min(self._size, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        if self._tokens < 1:
            return None
        self._tokens -= 1
        # A bucket tells nothing of a minute.
        return None if self._tokens < 0 else math.inf


WINDOWS: dict[str, Callable[[int], Window]] = {
    "fixed window": FixedWindow,
    "sliding window": SlidingWindow,
    "sliding counter": SlidingCounter,
    "token bucket": TokenBucket,
}


@dataclass(slots=True)
class _Piece:
    """One change under way: its lane, and the groups of the requests that it has still to send."""

    lane: str
    steps: list[RateGroup]


COSTS = {"create": {CORE: 1, STANDARD: 1}, "update": {STANDARD: 2}}
_STEPS = {"create": [STANDARD, CORE], "update": [STANDARD, STANDARD]}


@dataclass
class Traffic:
    """
    A run of some creates and updates against one kind of server window.

    Requests take `latency_s` to arrive; a waiter wakes a little late, as threads do. `neighbour` gives the share of
    each limit that somebody else takes, by the seconds since the start.
    """

    window: Callable[[int], Window]
    limits: dict[RateGroup, int]
    share: float
    work: dict[str, int]
    workers: int
    neighbour: Callable[[float], float] = lambda _now_s: 0.0
    latency_s: tuple[float, float] = (0.05, 0.3)
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - the same weather each time
    sent: dict[RateGroup, list[float]] = field(init=False)
    refused: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sent = {group: [] for group in RateGroup}
        self._servers = {group: self.window(limit) for group, limit in self.limits.items()}
        self._budgets = {group: Budget(self.share, limit=self.limits[group]) for group in RateGroup}
        self._queues = {group: deque[_Piece]() for group in RateGroup}
        self._idle = set[RateGroup]()
        self._flying = dict.fromkeys(self.work, 0)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now_s, self._paused_s, self._number = 1234.5, 0.0, 0
        self.began_s = self._now_s

    def run(self) -> "Traffic":
        """Carry it all out."""
        self.work = dict(self.work)
        for _ in range(self.workers):
            self._feed()
        for group in RateGroup:
            self._in(0.0, partial(self._turn, group))
            self._in(0.0, partial(self._disturb, group, 0.0))
        while sum(self._flying.values()):
            self._now_s, _, act = heappop(self._events)
            act()
        return self

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._events, (self._now_s + seconds, self._number, act))

    def _feed(self) -> None:
        left = [lane for lane, number in self.work.items() if number]
        if not left:
            return
        rates = {group: budget.rate(self._now_s) for group, budget in self._budgets.items()}
        lane = hungry(left, COSTS, self._flying, rates)
        self.work[lane] -= 1
        self._flying[lane] += 1
        self._queue(_Piece(lane, list(_STEPS[lane])))

    def _queue(self, piece: _Piece) -> None:
        group = piece.steps[0]
        self._queues[group].append(piece)
        if group in self._idle:
            self._idle.remove(group)
            self._in(self._late_s(), partial(self._turn, group))

    def _turn(self, group: RateGroup) -> None:
        """Let the first in the queue pass, if there is a slot, and look again a little later."""
        budget, queue = self._budgets[group], self._queues[group]
        if not queue:
            self._idle.add(group)
            return
        wait_s = max(budget.wait_s(self._now_s), self._paused_s - self._now_s)
        if wait_s > 0:
            self._in(wait_s + self._late_s(), partial(self._turn, group))
            return
        budget.take(self._now_s)
        self.sent[group].append(self._now_s)
        piece = queue.popleft()
        self._in(self.random.uniform(*self.latency_s), partial(self._arrive, piece, group))
        self._in(self._late_s() / 10, partial(self._turn, group))

    def _late_s(self) -> float:
        return self.random.expovariate(1 / 0.0005)

    def _arrive(self, piece: _Piece, group: RateGroup) -> None:
        left = self._servers[group].spend(self._now_s)
        if left is None:
            self.refused.append(self._now_s)
            self._budgets[group].observe(self._now_s, self.limits[group], 0)
            self._paused_s = max(self._paused_s, self._now_s + 5)
            self._queue(piece)
            return
        self._budgets[group].observe(self._now_s, self.limits[group], None if math.isinf(left) else left)
        del piece.steps[0]
        if piece.steps:
            self._queue(piece)
            return
        self._flying[piece.lane] -= 1
        self._feed()

    def _disturb(self, group: RateGroup, owed: float) -> None:
        owed += self.neighbour(self._now_s - self.began_s) * self.limits[group] / WINDOW_S / 4
        for _ in range(int(owed)):
            self._servers[group].spend(self._now_s)
        self._in(0.25, partial(self._disturb, group, owed - int(owed)))

    def used(self, group: RateGroup) -> list[float]:
        """Give the share of ours that each full minute used, from the first request of the group on."""
        ours = self.limits[group] * min(self.share, 0.98)
        times = self.sent[group]
        starts = [times[0] + WINDOW_S * n for n in range(int((times[-1] - times[0]) // WINDOW_S))]
        return [sum(start <= time < start + WINDOW_S for time in times) / ours for start in starts]
