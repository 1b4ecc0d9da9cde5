"""What carrying out a plan works with: the open connections, the terms, and the changes of one user."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from reconcile.cometchat.directory import Directory
from reconcile.cometchat.gate import Gate, Stop
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import Private
from reconcile.core.ours import Left
from reconcile.core.outcome import Settled
from reconcile.core.plan import Action, Change
from reconcile.core.scope import Scope
from reconcile.core.users import Values
from reconcile.store.planfile import PlanFile
from reconcile.store.state import State

__all__ = ["ATTEMPTS", "Group", "Hands", "Mode", "Numbers", "groups_of"]

ATTEMPTS = 6  # looks and sends of one change
PAUSE_S = 0.5  # the wait before the second, at most twice that where it is random; doubles with each


@dataclass(frozen=True, slots=True)
class Hands:
    """
    What carries a plan out: the directory, the journal, the gate, the stop.

    `workers` tells how many changes to have under way, which may differ from one moment to the next.
    """

    run_id: str
    directory: Directory
    state: State
    gate: Gate
    stop: Stop
    random: Random
    workers: Callable[[], int]
    today: str

    def remember(self, name: str, answer: str) -> None:
        """Keep what was learnt about the service for later runs."""
        self.state.remember(name, answer, self.today)

    def pause(self, attempt: int) -> None:
        """Wait before an attempt is repeated, a random while that grows. Raises: Interrupted."""
        self.gate.sleep(self.random.uniform(0, PAUSE_S * 2**attempt))

    def wait_for_lag(self, attempt: int) -> None:
        """Wait before a look that lagged behind a write is repeated, longer each time. Raises: Interrupted."""
        self.gate.sleep(PAUSE_S * 2 ** (attempt - 1))


class Numbers:
    """Numbers of changes, eight bytes each: there may be as many as users."""

    def __init__(self, ascending: Iterable[int] = ()) -> None:
        self._all = array("q", ascending)

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._all, number)
        return at < len(self._all) and self._all[at] == number


@dataclass(frozen=True, slots=True)
class Mode:
    """
    How a plan is carried out.

    `exact`: only what the plan says (a saved plan); else the least update towards the desired state.
    `limit`: the first so many changes in plan order. `unknown`: how many users the directory could not say
    anything about. `private` is what is known of `metadata.@private`, and with `overwrites` metadata is written though that may
    lose what CometChat hides. `guesses` are the groups that the first write may prove on a user that is there already.
    `ours` are the deactivations that our own runs made; a create may take them back where `wakes`. `stuck` holds the (uid, field, value) that earlier runs could not make hold, the value
    empty for a clear. Users that others touched after the export (`freshness`) are never switched off, and with
    `leaves_newer` not written at all. `clock_doubt` says why nobody may be deactivated by the clocks as they are now; empty
    where they are good enough. `settled`, `open_intents` and
    `unconfirmed` (sent and answered) come from an earlier start of the same run. Users that have one of the
    `protected_roles` (lower case) at the last look are not written, and those outside the `scope` not deactivated.
    """

    exact: bool
    keeps: frozenset[str]
    ours: Mapping[str, Left] = field(default_factory=dict)
    wakes: bool = False
    stuck: frozenset[tuple[str, str, str]] = frozenset()
    freshness: Freshness = field(default_factory=Freshness)
    leaves_newer: bool = False
    limit: int | None = None
    unknown: int = 0
    settled: dict[int, Settled] = field(default_factory=dict)
    open_intents: frozenset[int] = frozenset()
    unconfirmed: Numbers = field(default_factory=Numbers)
    clock_doubt: Callable[[], str] = lambda: ""
    protected_roles: frozenset[str] = frozenset()
    scope: Scope | None = None
    private: Callable[[], Private] = lambda: Private.SHOWN
    overwrites: bool = False
    guesses: frozenset[str] = frozenset({"tags"})


@dataclass(frozen=True, slots=True)
class Group:
    """
    The changes of one uid that are due, in plan order.

    `planned` are all the classes that the plan has for this uid, `before` is what the plan saw in every field that one
    of its changes writes, due or not, and `past` are the changes that are not due.
    """

    changes: tuple[Change, ...]
    planned: frozenset[GuardClass]
    before: Values = field(default_factory=dict)
    past: tuple[Change, ...] = ()


def groups_of(plan: PlanFile, action: Action, is_due: Callable[[Change], bool]) -> Iterator[Group]:
    """Give the changes that are due, by uid, of the users whose changes begin with this action."""
    for changes in plan.by_uid(action):
        due = tuple(change for change in changes if is_due(change))
        if due:
            before = {name: text for change in changes for name, text in change.before.items()}
            past = tuple(change for change in changes if change not in due)
            yield Group(due, frozenset(change.guard_class for change in changes), before, past)
