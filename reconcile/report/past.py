"""The last runs, as the trend of a page needs them."""

from collections.abc import Iterator

import msgspec

from reconcile.core.report import DriftCounts, Report
from reconcile.errors import StateError
from reconcile.store.reader import StateReader

__all__ = ["Point", "past_points", "point_of"]

RUNS = 30  # as many as are kept


class Point(msgspec.Struct, frozen=True):
    """
    One run in the trend. `drift` are its missing and drifted users, None where it did not get so far; `made` and
    `failed` are changes: applied or there already, and rejected, skipped or failed.
    """

    run_id: str
    command: str
    started_at: str
    verdict: str
    drift: int | None
    made: int
    failed: int


class _Past(msgspec.Struct):
    """What is read of a report of any version."""

    run_id: str
    command: str
    started_at: str
    verdict: str
    drift: DriftCounts
    outcomes: dict[str, int] | None = None


def point_of(report: Report | _Past) -> Point:
    """Sum up one run."""
    drift, outcomes = report.drift, report.outcomes or {}
    found = None if drift.in_step is None else (drift.missing or 0) + (drift.drifted or 0)
    made = outcomes.get("applied", 0) + outcomes.get("already", 0)
    failed = sum(outcomes.get(name, 0) for name in ("rejected", "skipped", "failed"))
    return Point(report.run_id, report.command, report.started_at, report.verdict, found, made, failed)


def past_points(state: StateReader, run_id: str) -> tuple[Point, ...]:
    """Give the runs before this one, oldest first; none where the state file cannot say: the report is more than its trend."""
    try:
        return tuple(reversed([*_before(state, run_id)]))
    except StateError:
        return ()


def _before(state: StateReader, run_id: str) -> Iterator[Point]:
    for text in state.reports(run_id, RUNS - 1):
        try:
            yield point_of(msgspec.json.decode(text, type=_Past))
        except msgspec.DecodeError:
            continue  # of a version that counted otherwise
