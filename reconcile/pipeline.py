"""
The main path, top to bottom: plan, ask, apply, report.

`plan` ends after the first of these: a dry run is not a flag that is handed down. How a run comes to its plan
(read, believe, fetch, compare, or back from what a run wrote) is `reconcile.planning`.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec
import structlog

from reconcile.applying import Applier, Hands, Mode, Numbers
from reconcile.core.left import left_alone_notes
from reconcile.core.outcome import Settled
from reconcile.core.plan import Change, PlanHeader
from reconcile.core.report import Report
from reconcile.core.review import Declared
from reconcile.core.scope import Scope
from reconcile.core.skew import doubt_of
from reconcile.dating import freshness_of_plan
from reconcile.errors import Declined, Interrupted, PlanError, ReviewNeeded
from reconcile.ledger import Ledger
from reconcile.planning import (
    DECLARED,
    adopt_plan,
    check_target,
    keep_uncounted,
    make_plan,
    plan_retry,
    plan_undo,
    read_source,
    take_up,
    what_is_new,
)
from reconcile.run import Run, Stage, Step
from reconcile.scope import scope_of
from reconcile.store.artifacts import run_folder
from reconcile.store.planfile import PlanFile
from reconcile.supersede import supersede
from reconcile.watermarks import drop
from reconcile.wrapup import reported

__all__ = ["Confirm", "apply", "plan", "plan_path", "resume"]

log = structlog.get_logger()

# What may be sent, how many changes a canary leaves, and what a person has to know of it.
Confirm = Callable[[PlanHeader, int, str], bool]
_UNDONE = "undone"  # under which the state file remembers an undo, until somebody has reviewed a plan
_REPORT_BYTES, _CHANGE_BYTES = 192 << 10, 1 << 10  # what a report takes: its pages, and a line for each change
_PROVEN_BY_WRITE = frozenset({"tags", "metadata"})
_KEPT = frozenset({"role", "statusMessage"})  # an empty value never clears these


def plan(run: Run) -> Report:
    """Find out what would have to change, and write it down. Nothing is sent but reads."""

    def body(ledger: Ledger) -> None:
        make_plan(run, ledger, read_source(run, ledger))

    return reported(run, body)


def apply(run: Run, confirm: Confirm) -> Report:
    """Come to a plan in the way that the run's stage says, ask, and carry it out."""

    def body(ledger: Ledger) -> None:
        made = _come_to_plan(run, ledger)
        _ask(run, made, confirm, ledger.metadata_caution)
        _carry_out(run, ledger, made)

    return reported(run, body)


def resume(run: Run) -> Report:
    """Finish a run under its own id; what is settled is not sent again. Killed before its plan was sealed, it plans again."""

    def body(ledger: Ledger) -> None:
        if run.reached.is_applying:
            ledger.evidence.recall(run)
        is_sealed = run.folder.plan.exists() or run.reached.is_applying
        made = _take_up_again(run, ledger) if is_sealed else _come_to_plan(run, ledger)
        _carry_out(run, ledger, made)

    return reported(run, body)


def plan_path(run_dir: Path, named: str) -> Path:
    """Find the plan that a person named: by a path, or by a run's id. Raises: SettingsError."""
    path = Path(named)
    return path.absolute() if path.is_file() else run_folder(run_dir, named) / "plan.jsonl.gz"


def _come_to_plan(run: Run, ledger: Ledger) -> PlanFile:
    stage = run.reached
    check_target(run)
    if stage.step in {Step.PLANNING, Step.RETRYING}:
        source = read_source(run, ledger)
    # Only now: a slip of the pen, or an export that is not believed, leaves an unfinished run to be resumed.
    supersede(run, ledger)
    match stage.step:
        case Step.ADOPTING:
            return adopt_plan(run, ledger, Path(stage.target))
        case Step.UNDOING:
            return plan_undo(run, ledger, stage.target)
        case Step.RETRYING:
            made = plan_retry(run, ledger, source, stage.target)
        case _:
            made = make_plan(run, ledger, source)
    _see_reviewed(run, made)
    return made


def _take_up_again(run: Run, ledger: Ledger) -> PlanFile:
    """Go on with the plan that the run had sealed, reviewed where that was still due. Raises: PlanError."""
    try:
        made = take_up(run, ledger)
    except PlanError as error:
        error.hint = "it cannot be finished without its plan; start anew: reconcile apply"
        raise
    # Whatever keeps it from going on: what it did before has to be told again.
    ledger.applying = run.reached.is_applying
    # Proves the key, and learns the rates, before anything is written.
    run.directory(()).roles()
    _see_reviewed(run, made)
    return made


def _see_reviewed(run: Run, made: PlanFile) -> None:
    """Ask for a reviewed plan where one go, or a retry, would be rash. Raises: ReviewNeeded."""
    if not made.count or run.reached.step not in {Step.PLANNING, Step.RETRYING}:
        return
    undone = run.state.remembered(_UNDONE)
    if undone:
        raise ReviewNeeded(
            f"run {undone} was undone, and this plan may do it again",
            hint=f"look at the plan, then: reconcile apply {run.id}",
        )
    new = what_is_new(run, made)
    if new and not run.options.accept_mapping:
        waiver = "; or, without a look: --accept-mapping" if run.command == "apply" else ""
        raise ReviewNeeded(
            f"mapping, source or policy changed since the last run that wrote: {'; '.join(new)}",
            hint=f"look at the plan, then: reconcile apply {run.id}{waiver}",
        )


def _ask(run: Run, made: PlanFile, confirm: Confirm, caution: str) -> None:
    run.stop.check()
    if made.count and not _agrees(made, run.options.limit, confirm, caution):
        declined = Declined("declined: nothing was written", hint=f"the plan stays: reconcile apply {run.id}")
        # Ctrl-C at the question is a no, and ends the process as Ctrl-C does.
        declined.exit_code = run.stop.code or declined.exit_code
        raise declined
    if made.count and not run.options.yes:
        run.waive([("answered", "")])


def _agrees(made: PlanFile, limit: int | None, confirm: Confirm, caution: str) -> bool:
    try:
        return confirm(*_first(made, limit), caution)
    except Interrupted:
        return False


def _first(made: PlanFile, limit: int | None) -> tuple[PlanHeader, int]:
    """Count what is among the first changes of a plan, and how many there are behind."""
    if limit is None or limit >= made.count:
        return made.header, 0
    counts = dict.fromkeys(made.header.counts, 0)
    for change in islice(made.changes(), limit):
        counts[change.action] += 1
        counts["held"] += change.guard_class in made.header.held
    return msgspec.structs.replace(made.header, counts=counts), made.count - limit


def _carry_out(run: Run, ledger: Ledger, made: PlanFile) -> None:
    exact = run.reached.is_exact
    run.folder.reserve(_REPORT_BYTES + _CHANGE_BYTES * made.count)
    _create_roles(run, made)
    ledger.applying = True
    run.interrupts.be_patient()
    run.reach(Stage(Step.APPLYING_EXACTLY if exact else Step.APPLYING))
    _remember(run, made, exact=exact)
    if run.skew is not None:
        run.state.keep_skew(run.id, run.skew.ahead_s)
    keep_uncounted(run, made.header)
    mode = _mode(run, made, exact=exact)
    hands = Hands(
        run_id=run.id,
        directory=run.directory(made.header.fields),
        state=run.state,
        gate=run.gate,
        stop=run.stop,
        random=run.world.random,
        workers=run.workers,
        today=run.today(),
    )
    due = made.count - made.header.counts["held"] - len(mode.settled)
    ledger.planned_with = sum(run.gate.sent.values())
    with run.stage("apply"), run.progress.stage("apply", due, "changes") as tick:

        def on_settled(change: Change, settled: Settled) -> None:
            ledger.evidence.known.note(change.seq, settled.outcome)
            tick(1)

        applier = Applier(made, hands, mode, on_settled)
        try:
            applier.run()
        finally:
            ledger.uncompared |= applier.uncompared
            if applier.unwritten:
                names = ", ".join(sorted(applier.unwritten))
                ledger.notes.append(f"not written, because no answer of CometChat shows it: {names}")
            if applier.withheld:
                ledger.cautions.append(
                    f"deactivations are held: {applier.withheld}; then: reconcile apply {run.id}"
                )
            ledger.notes += left_alone_notes(applier.left_alone, run.id)


def _mode(run: Run, made: PlanFile, *, exact: bool) -> Mode:
    policy = run.settings.policy
    keeps_all = policy.empty == "keep" and not made.header.undoes
    return Mode(
        exact=exact,
        keeps=frozenset(made.header.fields) if keeps_all else _KEPT,
        ours=run.state.own_deactivations(),
        wakes=policy.deactivated == "reactivate",
        stuck=run.state.stuck(),
        freshness=freshness_of_plan(run, made.header.source),
        leaves_newer=policy.newer == "skip",
        limit=run.options.limit,
        unknown=made.header.unknown,
        settled=dict(run.state.outcomes(run.id)),
        open_intents=frozenset(run.state.open_intents(run.id)),
        unconfirmed=Numbers(run.state.unconfirmed_seqs(run.id)),
        clock_doubt=partial(_clock_doubt, run, made.header),
        protected_roles=frozenset(policy.protected_roles),
        scope=_scope(run, made),
        private=run.private,
        overwrites=policy.overwrite_hidden_metadata,
        # What an undo writes over stands in the journal of the run that it undoes.
        guesses=_PROVEN_BY_WRITE
        if policy.overwrite_hidden_metadata or made.header.undoes
        else frozenset({"tags"}),
    )


def _clock_doubt(run: Run, header: PlanHeader) -> str:
    """
    Say why the clocks allow no deactivation now; empty where they do.

    Nothing of an undo is held against a time; and who released what the plan held for the clocks has looked.
    """
    return "" if header.undoes or header.clock_doubt else doubt_of(run.skew)


def _scope(run: Run, made: PlanFile) -> Scope | None:
    """Give the users that may be deactivated; None for everybody. An undo deactivates users that its run created."""
    is_asked = made.header.counts["deactivate"] and not made.header.undoes and run.settings.policy.asks_scope
    return scope_of(run.state, run.settings.run_dir)[0] if is_asked else None


def _remember(run: Run, made: PlanFile, *, exact: bool) -> None:
    """Keep how this plan was made; and that it undoes a run, or that somebody has reviewed one since."""
    if not made.count:
        return
    if made.header.undoes:
        run.state.remember(_UNDONE, made.header.undoes, run.today())
        drop(run)
        return
    words = msgspec.json.encode(Declared(run.id, made.header.declared)).decode()
    run.state.remember(DECLARED, words, run.today())
    if exact:
        run.state.remember(_UNDONE, "", run.today())


def _create_roles(run: Run, made: PlanFile) -> None:
    """Create the roles that the settings allow and the plan needs."""
    if not run.settings.roles.create_missing or made.header.undoes:
        return
    due = (change for change in made.changes() if change.guard_class not in made.header.held)
    wanted = {role for change in due if (role := change.after.get("role"))}
    if not wanted:
        return
    directory = run.directory(())
    lacking = sorted(wanted - directory.roles())
    if lacking:
        run.state.creates_roles(run.id, lacking, run.today())
    for role in lacking:
        log.info("role.created", role=role)
        directory.create_role(role)
