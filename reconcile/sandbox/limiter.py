"""
The rate limits of the app: which calls share a budget, and when it is spent.

Owns the budgets of one app and the rate headers. Refuses nothing itself: `spend` says what a request costs
the budget, and the caller turns a spent budget into a 429.
"""

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from reconcile.sandbox.switches import Switches

__all__ = ["WINDOW_S", "Group", "Limits", "RateLimiter", "Spending", "rate_headers"]

WINDOW_S = 60.0

Headers = tuple[tuple[bytes, bytes], ...]


class Group(StrEnum):
    """
    The budgets that the calls of an app are counted in.
    """

    CORE = "core"
    STANDARD = "standard"
    DATA_IMPORT = "data_import"


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Requests a minute in each group; the defaults are those of the vendor's documentation.
    """

    core: int = 10_000
    standard: int = 20_000
    data_import: int = 60

    def of(self, group: Group) -> int:
        """
        Return the limit of one group.
        """
        limit: int = getattr(self, group)
        return limit


@dataclass(frozen=True, slots=True)
class Spending:
    """
    What one request did to its budget.
    """

    allowed: bool
    limit: int
    remaining: int
    resets_at_s: float

    def wait_s(self, now: float) -> int:
        """
        Return the whole seconds until the budget is there again, at least 1.
        """
        return max(1, math.ceil(self.resets_at_s - now))


class _Budget:
    """
    The requests of one group that count now.
    """

    def __init__(self) -> None:
        self._spent: deque[tuple[float, int]] = deque()
        self._count = 0

    def count(self, since_s: float) -> int:
        while self._spent and self._spent[0][0] < since_s:
            self._count -= self._spent.popleft()[1]
        return self._count

    def add(self, now: float, cost: int) -> None:
        self._spent.append((now, cost))
        self._count += cost

    def oldest_s(self, default: float) -> float:
        return self._spent[0][0] if self._spent else default


class RateLimiter:
    """
    Counts requests against the limits, in a fixed or a sliding minute.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._budgets: dict[Group, _Budget] = {}
        self.clear()

    def clear(self) -> None:
        """
        Give every group its whole budget back.
        """
        self._budgets = {group: _Budget() for group in Group}

    def spend(self, group: Group, cost: int, now: float, switches: Switches) -> Spending:
        """
        Count one request, unless its budget is spent.
        """
        budget, limit = self._budgets[group], self.limits.of(group)
        if switches.rate_window == "fixed":
            start = now - now % WINDOW_S
            count = budget.count(start)
        else:
            # A request counts for exactly one minute, so one sent just then is out.
            count = budget.count(math.nextafter(now - WINDOW_S, math.inf))
            start = budget.oldest_s(now)
        allowed = count + cost <= limit
        if allowed:
            budget.add(now, cost)
            count += cost
        return Spending(allowed, limit, max(0, limit - count), start + WINDOW_S)

    def eat(self, group: Group, requests: int, now: float) -> None:
        """
        Spend budget as somebody else who uses the app would.
        """
        self._budgets[group].add(now, requests)


_NAMES = {
    "hyphenated": ((b"x-rate-limit", b"x-rate-limit-remaining", b"x-rate-limit-reset"),),
    "joined": ((b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"),),
    "none": (),
}
_NAMES["both"] = _NAMES["hyphenated"] + _NAMES["joined"]


def rate_headers(spending: Spending, now: float, switches: Switches) -> Headers:
    """
    Return the headers that tell a client about its budget.
    """
    if spending.allowed and switches.rate_headers_on == "429":
        return ()
    headers = [
        header
        for limit, remaining, _ in _NAMES[switches.rate_headers]
        for header in ((limit, b"%d" % spending.limit), (remaining, b"%d" % spending.remaining))
    ]
    if not spending.allowed:
        headers += _refusal_headers(spending, now, switches)
    return tuple(headers)


def _refusal_headers(spending: Spending, now: float, switches: Switches) -> list[tuple[bytes, bytes]]:
    reset = b"%d" % math.ceil(spending.resets_at_s)
    headers = [(name, reset) for _, _, name in _NAMES[switches.rate_headers]]
    if switches.retry_after == "sent":
        headers.append((b"retry-after", b"%d" % spending.wait_s(now)))
    return headers
