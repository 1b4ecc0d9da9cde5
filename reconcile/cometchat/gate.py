"""
The one gate that every request passes: slots of the two rate budgets, pauses for all, outages, and the stop.

Waiting can always be woken. Only one thread a group waits for the clock; the others queue behind it.
"""

import threading
from collections.abc import Callable

import structlog

from reconcile.cometchat.wire import RateHeaders
from reconcile.core.breaker import Breaker, Patience, Turn
from reconcile.core.pacing import Budget, RateGroup
from reconcile.core.usage import Meter, Usage
from reconcile.errors import DirectoryStopped, ExitCode, Interrupted

__all__ = ["Gate", "Stop"]

log = structlog.get_logger()

_TELL_EVERY_S = 10.0
LONGEST_WAIT_S = 300.0  # a job that hangs for hours cannot be told from one that is dead
SETTLE_S = 10.0  # how long what is in flight may take to settle after a stop


class Stop:
    """The wish to end early, and why. Setting it wakes every wait."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.event = threading.Event()
        self._monotonic = monotonic
        self._since = 0.0
        self.code: ExitCode | None = None
        self.why = ""

    def set(self, code: ExitCode, why: str) -> None:
        """Ask for the end; the first wish counts."""
        if self.code is None:
            self.code, self.why, self._since = code, why, self._monotonic()
        self.event.set()

    def check(self, *, settling: bool = False) -> None:
        """
        Refuse to go on after a stop; what settles a write in flight may, for a while.

        Raises: Interrupted.
        """
        if self.code is None:
            return
        if not settling or self._monotonic() - self._since > SETTLE_S:
            raise Interrupted(self.code)


class Gate:
    """Hands out the slots. Thread-safe; the arithmetic is `core.pacing` and `core.breaker`."""

    def __init__(
        self,
        budgets: dict[RateGroup, Budget],
        stop: Stop,
        monotonic: Callable[[], float],
        patience: Patience | None = None,
    ) -> None:
        self._budgets = budgets
        self._stop = stop
        self._monotonic = monotonic
        self._turns = {group: threading.Lock() for group in budgets}
        self._state = threading.Lock()
        self._paused_until = 0.0
        self._asked_too_much = 0.0
        self._breaker = Breaker(patience or Patience())
        self._last_failure = ""
        self._told_s = float("-inf")
        self.sent = dict.fromkeys(budgets, 0)
        self.throttled = 0
        self.retried = 0
        self._meter = Meter()

    def enter(self, group: RateGroup, *, settling: bool = False) -> bool:
        """
        Wait for a slot of the group; True where it is for the probe of an outage, which has to be a read.

        Raises: Interrupted when the run is to stop, DirectoryStopped when an outage lasts too long.
        """
        group = self._shared(group)
        with self._turns[group]:
            while True:
                self._stop.check(settling=settling)
                wait, is_probe = self._claim(group)
                if wait <= 0:
                    return is_probe
                self._tell_outage()
                self._sleep(wait, settling=settling)

    def _tell_outage(self) -> None:
        """Say now and then why nothing moves: no tick of the progress does meanwhile."""
        with self._state:
            now = self._monotonic()
            if not self._breaker.is_open or now - self._told_s < _TELL_EVERY_S:
                return
            self._told_s = now
            words = self._breaker.words(now)
        log.warning("breaker.waiting", words=words, last=self._last_failure)

    @property
    def is_shut(self) -> bool:
        """Whether nobody passes but probes, because of an outage."""
        return self._breaker.is_open

    def is_shared(self, failures: int) -> bool:
        """Whether so many failures are not one request's alone: nobody was answered since, and others failed too."""
        return self.is_shut or self._breaker.row > failures

    def note(self, failure: str, *, is_probe: bool, is_write: bool = False) -> Turn | None:
        """
        Learn what became of a request: a failure that may pass, in words, or none.

        Raises: DirectoryStopped where writes alone fail: waiting for a read would not show their end.
        """
        with self._state:
            self._last_failure = failure or self._last_failure
            turn = self._breaker.note(
                self._monotonic(), failed=bool(failure), is_probe=is_probe, is_write=is_write
            )
            if self._breaker.is_mute:
                raise DirectoryStopped(
                    f"CometChat answers reads and fails every write, last: {self._last_failure}",
                    hint="look at the vendor's status page; finish later with: reconcile resume",
                )
            return turn

    def now(self) -> float:
        """Give the monotonic time that the gate goes by, in seconds."""
        return self._monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, wakeably. Raises: Interrupted."""
        self._stop.event.wait(seconds)
        self._stop.check()

    def pause(self, seconds: float, *, jitter_s: float = 0.0) -> None:
        """
        Let nobody through for as long as CometChat asked, and a little more.

        Where that is longer than a run waits, nobody passes any more.
        """
        with self._state:
            if seconds > LONGEST_WAIT_S:
                self._asked_too_much = seconds
            self._paused_until = max(self._paused_until, self._monotonic() + seconds + jitter_s)
            self.throttled += 1

    def observe(self, group: RateGroup, headers: RateHeaders) -> None:
        """Learn from an answer."""
        with self._state:
            self._budgets[group].observe(self._monotonic(), headers.limit, headers.remaining)

    def count(self, group: RateGroup, *, again: bool) -> None:
        """Note a request that leaves."""
        with self._state:
            self.sent[group] += 1
            self.retried += again
            self._meter.note(self._monotonic(), group)

    def usage(self) -> Usage | None:
        """Give how much of the budgets was used when; None where nothing left."""
        with self._state:
            return self._meter.usage({group: budget.most for group, budget in self._budgets.items()})

    def rates(self) -> dict[RateGroup, float]:
        """Give the requests a minute that each group may send now."""
        with self._state:
            now = self._monotonic()
            return {group: budget.rate(now) for group, budget in self._budgets.items()}

    def limits(self) -> dict[RateGroup, float | None]:
        """Give the requests a minute that the app may send by the answers' word; None where they did not say."""
        return {group: budget.limit for group, budget in self._budgets.items()}

    def spending(self) -> tuple[float, float]:
        """Give the share (0 to 1) of the last minute's limit that we used, and the limit, of the group that is nearest to it."""
        with self._state:
            now = self._monotonic()
            spent = [budget.spent(now) for budget in self._budgets.values()]
        return max((sent / limit, limit) for sent, limit in spent)

    def is_learnt(self, group: RateGroup) -> bool:
        """Whether the group's limit is known rather than assumed."""
        return self._budgets[group].is_learnt

    def _shared(self, group: RateGroup) -> RateGroup:
        """Until a limit is known, the requests of both groups take slots of the standard budget."""
        # The smallest plan counts both groups in one; the careful rate therefore holds for their sum. Once one
        # group is known, the other keeps to a careful rate of its own: the rate of the first is not its.
        is_any_learnt = any(budget.is_learnt for budget in self._budgets.values())
        return group if is_any_learnt else RateGroup.STANDARD

    def _claim(self, group: RateGroup) -> tuple[float, bool]:
        with self._state:
            now = self._monotonic()
            if self._breaker.is_over(now):
                raise DirectoryStopped(
                    f"CometChat failed for {self._breaker.patience.longest_s:.0f} s, last: {self._last_failure}",
                    hint="look at the vendor's status page; finish later with: reconcile resume",
                )
            if self._asked_too_much:
                words = f"CometChat asks to wait {self._asked_too_much:.0f} s"
                raise DirectoryStopped(
                    f"{words}, longer than the {LONGEST_WAIT_S:.0f} s that a run waits",
                    hint="run again later, or resume",
                    status=429,
                )
            budget = self._budgets[group]
            wait = max(budget.wait_s(now), self._paused_until - now, self._breaker.wait_s(now))
            if wait > 0:
                return wait, False
            budget.take(now)
            return 0.0, self._breaker.claim(now)

    def _sleep(self, seconds: float, *, settling: bool) -> None:
        # Short naps: a limit that is learnt meanwhile moves the slot nearer.
        nap = min(seconds, 0.25)
        if settling and self._stop.event.is_set():
            threading.Event().wait(nap)
        else:
            self._stop.event.wait(nap if seconds <= 1 else min(seconds, 1.0))
