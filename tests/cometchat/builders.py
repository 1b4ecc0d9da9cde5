"""Parts that the tests of this room are built from: a clock that waiting moves, a gate, a client."""

import threading
from collections.abc import Callable
from random import Random

import httpx

from reconcile.cometchat.client import Client
from reconcile.cometchat.gate import Gate, Stop
from reconcile.core.pacing import Budget, RateGroup
from reconcile.settings import Secret

KEY = "c0ffee" * 6 + "beef"

Handler = Callable[[httpx.Request], httpx.Response]


class Clock:
    """A monotonic clock that stands still until somebody waits for it."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        with self._lock:
            self._now += seconds


class _TickingEvent(threading.Event):
    """An event for which waiting costs the time of a clock, and none of ours."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self._clock.advance(timeout or 0.0)
        return self.is_set()


def a_stop(clock: Clock) -> Stop:
    """A stop whose waits move the clock."""
    stop = Stop(clock)
    stop.event = _TickingEvent(clock)
    return stop


def a_gate(
    clock: Clock, *, core: float | None = 60_000.0, standard: float | None = 60_000.0, stop: Stop | None = None
) -> Gate:
    """A gate with these rates a minute; None is a rate that has to be learnt."""
    budgets = {
        RateGroup.CORE: Budget(0.8, fixed=core),
        RateGroup.STANDARD: Budget(0.8, fixed=standard),
    }
    return Gate(budgets, stop or a_stop(clock), clock)


def a_client(
    handler: Handler | None = None,
    *,
    base_url: str = "https://app.example/v3",
    key: str = KEY,
    gate: Gate | None = None,
    ca_file: str = "",
) -> Client:
    """A client; with a handler its answers come from there, else from the network."""
    return Client(
        base_url,
        "orchard",
        Secret(key),
        gate or a_gate(Clock()),
        random=Random(7),  # noqa: S311 - jitter that is the same each time
        ca_file=ca_file,
        transport=None if handler is None else lambda: httpx.MockTransport(handler),
    )
