"""The limits of changes over time: what earlier runs of this app changed lately, and a plan that is judged by it."""

from collections.abc import Iterable, Iterator

import msgspec

from reconcile.core.guards import GuardClass, judge_again
from reconcile.core.plan import PlanHeader
from reconcile.core.recent import Others, Recent, arrays_of, is_counted, others, recent_users, taken_back
from reconcile.core.written import Written
from reconcile.run import Run
from reconcile.settings import seconds_of
from reconcile.store.planfile import PlanFile

__all__ = ["is_limited", "judged_again", "keep_uncounted", "others_beside", "recent"]

_MIGRATION = GuardClass.CREATE


def recent(run: Run) -> Recent:
    """Give the users that earlier runs changed, by window of the settings and by class."""
    windows = sorted(
        ((words, seconds_of(words) or 0.0) for words in run.settings.guards.window), key=lambda w: w[1]
    )
    if not windows:
        return {}
    now = run.world.now().timestamp()
    return recent_users(_counted(run, now - windows[-1][1]), windows, now)


def others_beside(run: Run, planned: Iterable[tuple[GuardClass, str]]) -> Others:
    """Count the users that earlier runs changed and that are not among the planned ones, by window and class."""
    found = recent(run)
    kinds = {kind for classes in found.values() for kind in classes}
    return others(found, arrays_of(pair for pair in planned if pair[0] in kinds)) if kinds else {}


def is_limited(run: Run, undoes: str) -> bool:
    """
    Whether the limits over time hold for a plan; `undoes` is the run that it takes back, empty where it takes none.

    They do not hold for an undo, but for the undo of an undo: that does the changes again.
    """
    return not undoes or not is_counted(undoes, run.state.undoes())


def judged_again(run: Run, saved: PlanFile) -> PlanHeader:
    """
    Judge a saved plan once more: other runs may have written since it was made.

    What was held or released stays so. Changes that an earlier run made of this very plan are of its own users, and so
    count once.
    """
    header = saved.header
    heads = ((head.guard_class, head.uid) for head in saved.heads())
    beside = others_beside(run, heads) if is_limited(run, header.undoes) else {}
    guards = tuple(judge_again(guard, beside, run_id=run.id) for guard in header.guards)
    held = sum(guard.measured for guard in guards if guard.is_held)
    return msgspec.structs.replace(header, guards=guards, counts={**header.counts, "held": held})


def keep_uncounted(run: Run, header: PlanHeader) -> None:
    """Record what later limits do not count of this run, before it writes: a person has seen it, or it is a migration."""
    is_migration = {guard.guard for guard in header.guards if guard.guard == _MIGRATION and guard.limit is None}
    seen = {guard.guard for guard in header.guards if guard.verdict == "released"}
    run.state.counts_later(run.id, but=sorted(seen | is_migration), undoes=header.undoes)


def _counted(run: Run, since: float) -> Iterator[Written]:
    """Give the applied changes that count: not those of an undo, nor what an undo took back."""
    state, undoes = run.state, run.state.undoes()
    lately = state.runs_since(since)
    known = {run_id: target for run_id, target in undoes.items() if run_id in lately and target}
    sides = {*known, *known.values()}
    back = taken_back({run_id: tuple(state.written(run_id)) for run_id in sides}, known)
    for change in state.applied_since(since):
        if is_counted(change.run_id, undoes) and (change.run_id, change.seq) not in back:
            yield change
