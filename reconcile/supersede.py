"""Runs that were never finished: a new one settles what they left open, by looking, and takes their place."""

import structlog

from reconcile.cometchat.directory import Directory
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action, Change
from reconcile.errors import ChangeRejected, DirectoryBusy, PlanError
from reconcile.ledger import Ledger
from reconcile.run import Run
from reconcile.store.artifacts import RunFolder
from reconcile.store.planfile import PlanFile

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
    open_intents = run.state.open_intents(run_id)
    if not open_intents:
        return 0
    try:
        plan = PlanFile(RunFolder(run.settings.run_dir, run_id).plan)
    except PlanError:
        return 0
    directory = run.directory(plan.header.fields)
    for change in plan.changes():
        if change.seq in open_intents:
            run.state.settle(run_id, change, _look(directory, change))
    run.state.flush()
    return len(open_intents)


def _look(directory: Directory, change: Change) -> Settled:
    try:
        record = directory.look(change.uid)
    except (DirectoryBusy, ChangeRejected):
        return Settled(Outcome.FAILED, "not known: the directory could not say")
    is_active = record is not None and record.active
    if change.action is Action.DEACTIVATE:
        is_there = not is_active
    else:
        values = record.values if record is not None else {}
        is_there = is_active and all(values.get(name) == text for name, text in change.after.items())
    if not is_there:
        return Settled(Outcome.FAILED, "superseded")
    return Settled(Outcome.APPLIED, "settled by looking", record.moved_at if record else None)
