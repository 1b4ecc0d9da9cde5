"""The report of a run, written in each form that the settings name."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import structlog

from reconcile.core.frame import Quarantined
from reconcile.core.outcome import Settled
from reconcile.core.plan import Change
from reconcile.core.report import Report
from reconcile.errors import ExitCode, StateError
from reconcile.ledger import Ledger
from reconcile.report import encode_report
from reconcile.report.html import render_html
from reconcile.report.markdown import render_markdown
from reconcile.report.tables import write_changes, write_quarantine
from reconcile.run import Run
from reconcile.store.artifacts import RunFolder, replacing
from reconcile.store.planfile import settled_changes

__all__ = ["render", "write_reports"]

log = structlog.get_logger()

SAMPLE = 500  # changes that a page shows; all of them stand in changes.csv


def write_reports(run: Run, ledger: Ledger, report: Report) -> Report:
    """
    Write every file of the report that the settings name; give the report as it was written.

    What cannot be written is said in the log and in the exit code, and never hides how the run ended.
    """
    formats = frozenset(run.settings.run.formats)
    run.folder.release()
    try:
        render(run.folder, report, lambda: _changes(run, ledger), ledger.quarantined, formats)
    except StateError as error:
        log.error("report.not_written", message=error.message)
        code = ExitCode.STOPPED if ledger.applying else ExitCode.USAGE
        problem = {"message": error.message, "hint": error.hint}
        return msgspec.structs.replace(
            report, exit_code=int(report.exit_code or code), error=report.error or problem
        )
    return report


def render(
    folder: RunFolder,
    report: Report,
    changes: Callable[[], Iterator[tuple[Change, Settled | None]]],
    quarantined: tuple[Quarantined, ...],
    formats: frozenset[str],
) -> None:
    """Write a run's report in these formats; `changes` gives them anew each time. Raises: StateError."""
    if "csv" in formats:
        with replacing(folder.file("changes.csv")) as file:
            write_changes(file, changes())
        with replacing(folder.file("quarantine.csv")) as file:
            write_quarantine(file, quarantined)
    sample = list(islice(changes(), SAMPLE))
    if "md" in formats:
        _put(folder.file("report.md"), render_markdown(report, sample, quarantined).encode())
    if "html" in formats:
        _put(folder.file("report.html"), render_html(report, sample, quarantined).encode())
    if "json" in formats:
        _put(folder.file("report.json"), encode_report(report))


def _changes(run: Run, ledger: Ledger) -> Iterator[tuple[Change, Settled | None]]:
    if ledger.plan is None:
        return
    if ledger.applying:
        yield from settled_changes(ledger.plan, run.state, run.id)
        return
    for change in ledger.plan.changes():
        yield change, None


def _put(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
