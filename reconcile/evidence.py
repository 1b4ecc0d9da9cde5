"""
What a run can prove that it did: its writes and their outcomes, from the state file and from its own memory.

The state file may be gone when the report is made. What the process itself knows then still is told, and what is
missing is said.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from reconcile.core.outcome import LOST, Known, Outcome, Settled, empty_tally
from reconcile.core.plan import Change
from reconcile.core.report import Report
from reconcile.errors import StateError
from reconcile.run import Run
from reconcile.store.planfile import PlanFile, settled_changes

__all__ = ["Evidence", "asked", "missing"]

T = TypeVar("T")

_LOOK = "put the run directory back as it was, then: reconcile resume"


def asked(question: Callable[[], T], otherwise: T) -> T:
    """Ask the state file, where it still can be read: a report is more than any one answer of it."""
    try:
        return question()
    except StateError:
        return otherwise


@dataclass(slots=True)
class Evidence:
    """
    What the process of a run knows without its state file.

    `earlier` is the report of an earlier start of this run, and `wrote` the writes that those starts recorded.
    """

    known: Known = field(default_factory=Known)
    earlier: Report | None = None
    wrote: int = 0

    def recall(self, run: Run) -> None:
        """
        Take in what earlier starts of this run did and told: no report of it may say less.

        Raises: StateError; what the files of the run tell is known then.
        """
        with suppress(OSError):
            self.earlier = _report(run.folder.file("report.json").read_text("utf-8"))
        self.wrote = ((self.earlier and self.earlier.outcomes) or {}).get(Outcome.APPLIED, 0)
        self.earlier = _report(run.state.report_of(run.id)) or self.earlier
        self.wrote = max(self.wrote, run.state.intents(run.id))
        for seq, settled in run.state.outcomes(run.id):
            self.known.note(seq, settled.outcome)

    def writes(self, run: Run) -> int:
        """Give how many writes this run recorded or sent, whichever is more: it never is less than what was written."""
        return max(self.wrote, run.client.writes, asked(lambda: run.state.intents(run.id), 0))

    def outcomes(self, plan: PlanFile, run: Run) -> Iterator[tuple[Change, Settled]]:
        """Give every change of the plan with its outcome, in plan order."""
        return settled_changes(plan, run.state, run.id, self.known)

    def tally(self, plan: PlanFile, run: Run) -> tuple[Counter[str], int]:
        """
        Count the outcomes of a plan, and those of them that the state file does not have.

        Where the plan cannot be read any more, only what the run knows is counted: then the sums do not add up.
        """
        tally, lost = empty_tally(), 0
        try:
            for _, settled in self.outcomes(plan, run):
                tally[settled.outcome.value] += 1
                lost += settled.detail == LOST
        except StateError:
            return self.known.tally(), 0
        return tally, lost


def _report(text: str) -> Report | None:
    """Read a report of any version; one that this version does not understand says nothing."""
    try:
        return msgspec.json.decode(text, type=Report) if text else None
    except msgspec.DecodeError:
        return None


def missing(tally: Counter[str], lost: int, *, is_whole: bool) -> tuple[str, ...]:
    """Say which outcomes a report should have and has not. `is_whole`: nothing ended the run, or a part of it, early."""
    trouble = tally[Outcome.REJECTED] + tally[Outcome.SKIPPED] + tally[Outcome.FAILED]
    open_ends = tally[Outcome.NOT_ATTEMPTED] if is_whole and not trouble else 0
    words = (
        lost and f"the state file lacks the outcomes of {lost} changes that this run made; {_LOOK}",
        open_ends and f"{open_ends} changes have no outcome, though nothing ended the run; {_LOOK}",
    )
    return tuple(word for word in words if word)
