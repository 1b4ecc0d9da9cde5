"""The source on its way in: read, checked row by row, and believed or not."""

from datetime import UTC, datetime

import structlog

from reconcile.core.cells import arrow
from reconcile.core.frame import Desired, desire, with_roles
from reconcile.core.guards import GuardVerdict, SourceLimits, judge_quarantine, judge_source
from reconcile.core.report import SourceCounts
from reconcile.errors import SourceError
from reconcile.ledger import Ledger
from reconcile.run import Run
from reconcile.settings import mapping_for
from reconcile.sources import Export, read_export

__all__ = ["believe", "check_roles", "read"]

log = structlog.get_logger()


def read(run: Run, ledger: Ledger) -> tuple[Export, Desired]:
    """Read the export and check every row. Raises: SourceError, SettingsError."""
    source = run.settings.source
    ledger.source = SourceCounts(location=source.shown)
    export = read_export(source, lambda columns: mapping_for(run.settings, columns), run.world.now().timestamp())
    desired = desire(export.frame, export.mapping, export.ragged)
    as_of = datetime.fromtimestamp(export.as_of_unix_s, UTC).isoformat()
    ledger.note_source(SourceCounts(source.shown, sha256=export.sha256, as_of=as_of), desired)
    ledger.notes += export.notes
    if "role" in export.columns and "role" not in export.mapping.fields:
        ledger.notes.append('the source has a column "role" that is not mapped; map it by hand: --map role=role')
    log.info("source.read", rows=desired.rows, quarantined=len(desired.quarantined))
    return export, desired


def believe(run: Run, ledger: Ledger, desired: Desired) -> None:
    """Hold the source against its guards, before the first request. Raises: SourceError."""
    guards = run.settings.guards
    limits = SourceLimits(guards.min_rows, guards.max_shrink_percent, guards.sentinels, run.options.expect_rows)
    baseline = run.state.baseline()
    present = set(arrow(desired.users["uid"]).to_pylist()) if limits.sentinels else set()
    verdicts = judge_source(
        desired.rows,
        present,
        limits,
        baseline_rows=baseline.rows if baseline else None,
        baseline_run=baseline.run_id if baseline else "",
    )
    _refuse_held(run, ledger, verdicts)


def check_roles(run: Run, ledger: Ledger, desired: Desired, known: frozenset[str]) -> Desired:
    """Quarantine the users of roles that the app lacks, and judge the share of rows that are out."""
    guard = run.settings.guards.max_quarantined
    checked = with_roles(desired, known | run.settings.creatable_roles)
    ledger.note_source(ledger.source, checked)
    verdict = judge_quarantine(len(checked.quarantined), checked.rows, guard.percent, guard.floor)
    _refuse_held(run, ledger, (verdict,))
    return checked


def _refuse_held(run: Run, ledger: Ledger, verdicts: tuple[GuardVerdict, ...]) -> None:
    ledger.guards += verdicts
    held = [verdict for verdict in verdicts if verdict.is_held]
    if held and not run.options.accept_source:
        raise SourceError(
            "the source is not believed: " + "; ".join(f"{verdict.guard}: {verdict.because}" for verdict in held),
            hint="look at what wrote it; when it is right: --accept-source, once",
        )
