"""The past runs side by side: what each found, did and left, and how that moved. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from reconcile.core.report import Report
from reconcile.core.waivers import Waiver

__all__ = ["Flapping", "RunRow", "Turn", "spark", "turn_of"]

_TROUBLE = ("rejected", "skipped", "failed")
_BARS = "▁▂▃▄▅▆▇█"


class RunRow(msgspec.Struct, frozen=True):
    """One run as the state file knows it. Times are ISO 8601; `since` is where the part of the source began that it read."""

    run_id: str
    command: str
    state: str
    started_at: str
    finished_at: str | None = None
    exit_code: int | None = None
    verdict: str | None = None
    headline: str | None = None
    writes: int = 0
    since: str | None = None


class Turn(RunRow, frozen=True):
    """
    One run among others. Counts are None where the run did not get that far.

    `drift` is missing and drifted users, `made` changes that are applied or were there already, `failed` those that were
    rejected, skipped or failed, `held` those that a guard kept back. `seconds` is from its start to its end. `waivers` are
    what a person released, accepted or agreed to.
    """

    seconds: float | None = None
    drift: int | None = None
    planned: int | None = None
    made: int | None = None
    failed: int | None = None
    held: int | None = None
    waivers: tuple[Waiver, ...] = ()


class Flapping(msgspec.Struct, frozen=True):
    """A user to whom the same value of a field was written by more than one of the runs; `runs` is how many."""

    uid: str
    field: str
    runs: int


def turn_of(known: Sequence[object], report: Report | None) -> Turn:
    """Sum a run up; `known` is what the state file has of every run, in the order of the fields of a RunRow."""
    turn = Turn(*known)  # type: ignore[arg-type]
    if turn.finished_at:
        took = datetime.fromisoformat(turn.finished_at) - datetime.fromisoformat(turn.started_at)
        # The end is kept to the second, and so may stand before the start.
        turn = msgspec.structs.replace(turn, seconds=max(0.0, round(took.total_seconds(), 1)))
    if report is None:
        return turn
    found, outcomes = report.drift, report.outcomes
    planned = None if report.plan.create is None else report.plan.total
    return msgspec.structs.replace(
        turn,
        drift=None if found.missing is None or found.drifted is None else found.missing + found.drifted,
        planned=planned,
        made=None if outcomes is None else outcomes["applied"] + outcomes["already"],
        failed=None if outcomes is None else sum(outcomes[name] for name in _TROUBLE),
        held=report.plan.held if outcomes is None else outcomes["held"],
    )


def spark(values: Iterable[float | None]) -> str:
    """Draw numbers as bars, the greatest as a whole one; nothing known is a dot, and 0 the lowest bar."""
    known = list(values)
    most = max((value for value in known if value is not None), default=0) or 1
    return "".join("·" if value is None else _BARS[round((len(_BARS) - 1) * value / most)] for value in known)
