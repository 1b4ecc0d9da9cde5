"""
When the ordered faults strike.

Owns the count of the requests that each rule has matched, and its dice.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from random import Random

from reconcile.sandbox.calls import Call
from reconcile.sandbox.faults import Fault, StaleRead

__all__ = ["Schedule", "lag_s"]


class _Watch:
    """
    One fault and what it has seen so far.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.fired = 0
        self._seen = 0
        self._random = Random(fault.seed)  # noqa: S311 - weather, not a secret
        self._methods = frozenset(method.strip() for method in fault.method.upper().split(","))

    def is_due(self, call: Call) -> bool:
        if not self._matches(call):
            return False
        self._seen += 1
        if not self._is_turn():
            return False
        self.fired += 1
        return True

    def _matches(self, call: Call) -> bool:
        return (
            ("*" in self._methods or call.method in self._methods)
            and fnmatchcase(call.path, self.fault.path)
            and self.fault.query in call.query
        )

    def _is_turn(self) -> bool:
        fault = self.fault
        times = fault.times or (None if fault.nth is None else 1)
        if times is not None and self.fired >= times:
            return False
        if fault.nth is not None and self._seen < fault.nth:
            return False
        if fault.every is not None and self._seen % fault.every:
            return False
        return fault.probability is None or self._random.random() < fault.probability


class Schedule:
    """
    The faults in force, asked once for every request.
    """

    def __init__(self) -> None:
        self._watches: list[_Watch] = []

    def add(self, fault: Fault) -> None:
        """
        Put one more fault in force.
        """
        self._watches.append(_Watch(fault))

    def clear(self) -> None:
        """
        Call off every fault.
        """
        self._watches.clear()

    def faults(self) -> list[Fault]:
        """
        Return the faults in force.
        """
        return [watch.fault for watch in self._watches]

    def reach_s(self) -> float:
        """
        Return how far back the faults in force look.
        """
        return lag_s(self.faults())

    def due(self, call: Call) -> list[Fault]:
        """
        Return the faults that this request meets, in the order they were put in force.
        """
        return [watch.fault for watch in self._watches if watch.is_due(call)]


def lag_s(faults: Iterable[Fault]) -> float:
    """
    Return how far a read that meets these faults is behind.
    """
    return max((fault.ms / 1_000 for fault in faults if isinstance(fault, StaleRead)), default=0.0)
