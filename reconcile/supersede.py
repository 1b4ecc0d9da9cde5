"""Runs that were never finished: a new one settles what they left open, by looking, and takes their place."""

from contextlib import closing

import structlog

from reconcile.applying.dates import keep_dates
from reconcile.cometchat.directory import Directory
from reconcile.core.actual import managed_groups, records_of
from reconcile.core.ours import was_near
from reconcile.core.outcome import Outcome, PastChange, Settled
from reconcile.core.plan import Action, normal
from reconcile.core.users import Record
from reconcile.errors import ChangeRejected, DirectoryBusy
from reconcile.ledger import Ledger
from reconcile.run import Run

__all__ = ["supersede"]

log = structlog.get_logger()

_OVER = frozenset({"finished", "superseded"})
_FEW = 20  # users that are looked at one by one, whatever the size of the directory: a walk costs its end too


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
    number = run.state.count_left_open(run_id)
    fields = tuple(sorted({name for past in run.state.left_open(run_id) for name in past.after}))
    directory = run.directory(fields)
    if number > _FEW:
        _settle_by_page(run, run_id, directory, fields, number)
    with closing(run.state.left_open(run_id)) as rest:
        for past in rest:
            run.state.settle(run_id, past, _look(directory, past))
    run.state.all_confirmed(run_id)
    keep_dates(directory, run.state, run_id)
    return number


def _settle_by_page(run: Run, run_id: str, directory: Directory, fields: tuple[str, ...], number: int) -> None:
    """Settle what the list confirms, where it has fewer pages than there are users to look at; it leaves the rest."""
    directory.find_first_page()
    most = number - _FEW
    if directory.page(directory.first_page + most):
        return
    for page in directory.pages():
        rows = {record.uid: record for record in records_of(page, fields, directory.shows("list"))}
        for past in run.state.left_open(run_id, rows):
            record = rows[past.uid]
            if past.action != Action.DEACTIVATE and _is_there(past, record):
                run.state.settle(run_id, past, _there(past, record))
        run.state.flush()


def _look(directory: Directory, past: PastChange) -> Settled:
    try:
        record = directory.look(past.uid)
    except (DirectoryBusy, ChangeRejected):
        return Settled(Outcome.FAILED, "not known: the directory could not say")
    return _there(past, record) if _is_there(past, record) else Settled(Outcome.FAILED, "superseded")


def _is_there(past: PastChange, record: Record | None) -> bool:
    is_active = record is not None and record.active
    if past.action == Action.DEACTIVATE:
        return not is_active
    if record is None or not is_active:
        return False
    written = normal(past.after)
    # What no look shows is not there for that: a value that was cleared may only be hidden.
    is_seen = managed_groups(written) <= record.known
    return is_seen and all(record.values.get(name) == text for name, text in written.items())


def _there(past: PastChange, record: Record | None) -> Settled:
    """
    Settle what agrees. Somebody else may have made or changed the user since the run was killed: the dates of the
    record are those of our write only where they are near the time of its intent.
    """
    made, moved = (record.created_at, record.moved_at) if record else (None, None)
    made, moved = (date if was_near(date, past.intended_at) else None for date in (made, moved))
    made = made if past.action == Action.CREATE else None
    return Settled(Outcome.APPLIED, "settled by looking", moved, created_at=made)
