"""Runs that were never finished: a new one settles what they left open, by looking, and takes their place."""

import structlog

from reconcile.cometchat.directory import Directory
from reconcile.core.outcome import Outcome, PastChange, Settled
from reconcile.core.plan import Action, normal
from reconcile.errors import ChangeRejected, DirectoryBusy
from reconcile.ledger import Ledger
from reconcile.run import Run

__all__ = ["supersede"]

log = structlog.get_logger()

_OVER = frozenset({"finished", "superseded"})


def supersede(run: Run, ledger: Ledger) -> None:
    """Settle the open intents of every unfinished run, and mark it as superseded."""
    for row in run.state.runs():
        if row.run_id == run.id or row.state in _OVER:
            continue
        settled = _settle_open(run, row.run_id)
        run.state.advance(row.run_id, "superseded")
        if row.command != "plan":
            ledger.notes.append(
                f"run {row.run_id} was not finished; {settled} open writes of it were settled by looking"
            )
        log.info("run.superseded", superseded=row.run_id, settled=settled)


def _settle_open(run: Run, run_id: str) -> int:
    # From the journal alone: the plan of that run may be gone, or of another version.
    left_open = run.state.left_open(run_id)
    directory = run.directory(tuple({name for past in left_open for name in past.after}))
    for past in left_open:
        run.state.settle(run_id, past, _look(directory, past))
    run.state.flush()
    return len(left_open)


def _look(directory: Directory, past: PastChange) -> Settled:
    try:
        record = directory.look(past.uid)
    except (DirectoryBusy, ChangeRejected):
        return Settled(Outcome.FAILED, "not known: the directory could not say")
    is_active = record is not None and record.active
    if past.action == Action.DEACTIVATE:
        is_there = not is_active
    else:
        values = record.values if record is not None else {}
        is_there = is_active and all(values.get(name) == text for name, text in normal(past.after).items())
    if not is_there:
        return Settled(Outcome.FAILED, "superseded")
    return Settled(Outcome.APPLIED, "settled by looking", record.moved_at if record else None)
