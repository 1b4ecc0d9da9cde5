"""Values that CometChat took earlier and did not keep: what a run counts of them, and what it lets go."""

from collections.abc import Collection

from reconcile.cometchat.directory import Directory, Unknown
from reconcile.core.bodies import verify
from reconcile.core.found import Found
from reconcile.core.patterns import matching
from reconcile.core.sticking import Known, Tried, known_of
from reconcile.core.users import as_record
from reconcile.ledger import Ledger
from reconcile.run import Run

__all__ = ["recall_known", "settle_known"]

Pairs = list[tuple[str, str]]


def settle_known(
    run: Run,
    ledger: Ledger,
    directory: Directory,
    found: Found,
    tried: Collection[Tried],
    *,
    fields: tuple[str, ...],
    only: bool,
) -> Known:
    """
    Give the known differences that this run does not try, and let go of those that are none any more.

    `fields` are those that are compared; with `only` the run is about a few users.
    """
    counted, gone = [*found.stuck], [*found.outdated]
    if ledger.source.since is not None:
        # A row that has not changed still asks for the value that was not kept.
        pairs = {*found.elsewhere}
        elsewhere = [one for one in tried if (one.uid, one.field) in pairs and one.field in fields]
        still, held = _look_at(run, directory, elsewhere, fields)
        counted, gone = counted + still, gone + held
    elif not only:
        gone += found.elsewhere
    run.state.no_longer_stuck(gone)
    run.state.count_known(run.id, counted)
    return known_of(counted, tried)


def recall_known(run: Run, ledger: Ledger, planned_by: str) -> None:
    """Count again what the run that made this plan counted; where that was another, without what was mended since."""
    tried = run.state.tried()
    if planned_by != run.id:
        still = {(one.uid, one.field) for one in tried}
        run.state.count_known(run.id, [pair for pair in run.state.counted(planned_by) if pair in still])
    ledger.note_known(known_of(run.state.counted(run.id), tried))


def _look_at(
    run: Run, directory: Directory, known: Collection[Tried], fields: tuple[str, ...]
) -> tuple[Pairs, Pairs]:
    """Look at users whose rows this run has not read: which (uid, field) still differ, and which do no more."""
    protected = set(matching([one.uid for one in known], run.settings.policy.protect))
    roles = run.settings.policy.protected_roles
    wanted: dict[str, dict[str, str | None]] = {}
    for one in known:
        if one.uid not in protected:
            wanted.setdefault(one.uid, {})[one.field] = one.value or None
    still: Pairs = []
    held: Pairs = []
    for uid, seen in directory.get_each(sorted(wanted)):
        values = wanted[uid]
        if isinstance(seen, Unknown):
            left = [*values]
        elif seen is None or seen.user.deactivated_at or (seen.user.role or "").lower() in roles:
            # A create or a reactivation writes the value with the rest, and a protected user is not written.
            left = []
        else:
            proof = verify(values, values, as_record(seen.user, fields, seen.known), directory.looks_show())
            left = [*proof.differing, *proof.unshown]
        still += [(uid, field) for field in left]
        held += [(uid, field) for field in values if field not in left]
    return still, held
