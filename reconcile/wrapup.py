"""However a run ends: its report is written, the state file knows, and old runs are let go."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import structlog

from reconcile.core.clocks import future_notes
from reconcile.core.outcome import Outcome
from reconcile.core.report import Report
from reconcile.core.shape import marks_of
from reconcile.descriptors import too_few
from reconcile.errors import (
    Declined,
    DirectoryStopped,
    ExitCode,
    Interrupted,
    ReconcileError,
    StateError,
)
from reconcile.evidence import asked
from reconcile.ledger import Ledger
from reconcile.logs import redact
from reconcile.report.files import write_reports
from reconcile.report.metrics import render_metrics
from reconcile.run import Run
from reconcile.scope import learn_users
from reconcile.store.artifacts import prune, replacing
from reconcile.store.state import RunRow
from reconcile.watermarks import advance

__all__ = ["reported"]

log = structlog.get_logger()

# What a run that ends like this measured is no measure for the next: nobody acted on it, or said no to it.
_NOT_GOOD = frozenset({ExitCode.BUG, ExitCode.USAGE, ExitCode.SOURCE, ExitCode.UNREACHABLE})
_FROM_SOURCE = frozenset({"plan", "apply"})  # what reads the source for everybody in it
_UNFINISHED = frozenset({ExitCode.STOPPED, ExitCode.SIGINT, ExitCode.SIGTERM})


def reported(run: Run, body: Callable[[Ledger], None]) -> Report:
    """
    Run the stages in `body`, and report on them however they end.

    Raises: whatever is a bug, after it was reported like everything else.
    """
    ledger = Ledger()
    ended_by: ReconcileError | None = None
    bug: Exception | None = None
    try:
        with run.interrupts.breaking():
            nobody: list[RunRow] = []
            known = asked(run.state.runs, nobody)
            ledger.notes += future_notes((row.run_id for row in known), run.world.now())
            body(ledger)
    except Exception as error:  # noqa: BLE001 - a bug is reported, and raised again
        ended_by = too_few(error) or (_named(run, error) if isinstance(error, ReconcileError) else None)
        bug = None if ended_by else error
    if ended_by is not None:
        ended_by.message = redact(ended_by.message)
        message, hint = ended_by.message, ended_by.hint
        if run.options.redact:  # Our sentences may name anybody.
            message, hint = "the reason is left out of the redacted log", f"reconcile report {run.id} tells it"
        log.error("run.ended_early", error=type(ended_by).__name__, message=message, hint=hint)
    if bug is not None:
        log.error("run.bug", exc_info=bug)
    # Before the reports: a disk that the partitions have filled has room for them again.
    run.scratch.close()
    report = write_reports(run, ledger, ledger.report(run, ended_by, bug=bug))
    failed = _close_books(run, ledger, report, is_declined=isinstance(ended_by, Declined))
    if failed is not None and not report.exit_code:
        # The next run will not know of this one as it ended: that is no good end.
        report = write_reports(run, ledger, ledger.report(run, failed))
    _publish(run, report)
    log.info("run.finished", verdict=report.verdict, exit_code=report.exit_code, headline=report.headline)
    if bug is not None:
        raise bug
    return report


def _named(run: Run, error: ReconcileError) -> ReconcileError:
    """A stop for the deadline reaches the stages as an interruption; give it its name and its remedy."""
    remedy = "run it again" if run.command == "plan" else "finish it with: reconcile resume"
    if isinstance(error, Interrupted) and run.stop.code is not None:
        # Who met it may not have known which stop it was.
        error = Interrupted(run.stop.code)
    if isinstance(error, Interrupted) and error.exit_code is ExitCode.STOPPED:
        return DirectoryStopped(run.stop.why, hint=remedy)
    if isinstance(error, Interrupted):
        error.hint = remedy
    return error


def _close_books(run: Run, ledger: Ledger, report: Report, *, is_declined: bool) -> StateError | None:
    """Tell the state file how the run ended, and let old runs go; give what kept it from that."""
    # Stopped on the way to its plan, it plans again when it is resumed.
    is_cut = _is_cut_by_bug(report) or _lacks_outcomes(report)
    ended_early = report.exit_code in _UNFINISHED or run.stop.code is not None or is_cut
    # What somebody said no to is not carried out by a resume: that asks no more.
    may_go_on = run.command != "plan" and not is_declined
    unfinished = may_go_on and ended_early and report.verdict not in {"applied", "in_step"}
    row = RunRow(
        run_id=run.id,
        command=run.command,
        state=str(run.reached) if unfinished else "finished",
        started_at=run.started_at.isoformat(),
        finished_at=report.finished_at,
        exit_code=report.exit_code,
        verdict=report.verdict,
        headline=report.headline,
    )
    try:
        row = msgspec.structs.replace(row, writes=run.state.intents(run.id))
        run.state.finish(row, msgspec.json.encode(report))
        _learn(run, ledger, report, is_good=report.exit_code not in _NOT_GOOD and not is_declined)
        _let_go(run)
        learn_users(run, ledger, report)
    except StateError as error:
        log.error("state.not_closed", message=error.message)
        return error
    return None


def _publish(run: Run, report: Report) -> None:
    """Write the metrics, where the settings name a file. What keeps it from that is logged and ends nothing."""
    if not run.settings.run.metrics:
        return
    is_dry = report.command == "plan"
    try:
        good = [row for row in run.state.runs() if row.exit_code == 0 and (row.command == "plan") is is_dry]
        whole = [row for row in good if row.since is None and row.command in _FROM_SOURCE]
        # The newest run that ended, and not the latest date: the clock may have been wrong for a night.
        last, last_whole = (
            next((row.finished_at for row in rows if row.finished_at), None) for rows in (good, whole)
        )
        budget = {str(group): rate for group, rate in run.gate.rates().items()}
        with replacing(Path(run.settings.run.metrics), mode=0o644) as file:
            file.write(render_metrics(report, last, last_whole, budget).encode())
    except StateError as error:
        log.error("metrics.not_written", message=error.message, hint=error.hint)


def _is_cut_by_bug(report: Report) -> bool:
    """Whether a bug left changes of the plan undone, or open."""
    is_bug = report.exit_code == ExitCode.BUG and report.error is not None
    return is_bug and bool(report.outcomes and report.outcomes[Outcome.NOT_ATTEMPTED])


def _lacks_outcomes(report: Report) -> bool:
    """Whether the state file does not have what the run did: a resume looks at it."""
    return report.exit_code == ExitCode.BUG and report.error is None and bool(report.broken_laws)


def _learn(run: Run, ledger: Ledger, report: Report, *, is_good: bool) -> None:
    """Let the next run be held against this one, if it was a good one, and begin where it ended."""
    if not is_good:
        run.state.drop_baseline(run.id)
    elif ledger.baseline is not None and ledger.plan is not None:
        run.state.keep_quarantine(marks_of(ledger.quarantined))
    if ledger.plan is not None:
        advance(run, ledger.plan.header, report)


def _let_go(run: Run) -> None:
    """
    Keep so many runs that wrote, and so many that did not; unfinished ones always stay.

    Runs over a part of the source are counted apart, so that the hours do not push out the nights. The run that has just
    been written always stays.
    """
    done = [row for row in run.state.runs() if row.state in {"finished", "superseded"}]
    old = [
        row.run_id
        for kind in product((True, False), repeat=2)
        for row in [row for row in done if (row.writes > 0, row.since is None) == kind][run.settings.run.keep :]
        if row.run_id != run.id
    ]
    if old:
        prune(run.settings.run_dir, old)
        run.state.forget_runs(old)
