"""The report of a run, written in each form that the settings name, or told again."""

import io
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec
import structlog

from reconcile.core.frame import Quarantined
from reconcile.core.redaction import Redactor
from reconcile.core.report import Report
from reconcile.core.survey import Survey, SurveyedChange
from reconcile.errors import ExitCode, StateError
from reconcile.ledger import Ledger
from reconcile.report import REPORT_FILES, encode_report
from reconcile.report.html import render_html
from reconcile.report.markdown import render_markdown
from reconcile.report.past import Point, past_points
from reconcile.report.tables import read_quarantine, write_changes, write_quarantine
from reconcile.run import Run
from reconcile.store.artifacts import RunFolder, replacing
from reconcile.store.planfile import PlanFile, settled_changes
from reconcile.store.reader import StateReader

__all__ = ["Told", "printed", "render", "told_again", "write_reports"]

log = structlog.get_logger()


class Told(msgspec.Struct, frozen=True):
    """
    All that the files of a report tell: the report, its changes (to be read once), its rows, and the runs before.
    """

    report: Report
    changes: Iterator[SurveyedChange]
    quarantined: Sequence[Quarantined] = ()
    past: Sequence[Point] = ()

    def redacted(self, redactor: Redactor) -> "Told":
        """Tell the same without its users."""
        return Told(
            redactor.report(self.report),
            (
                (redactor.change(change), settled and redactor.settled(settled, change))
                for change, settled in self.changes
            ),
            [redactor.row(row) for row in self.quarantined],
            self.past,
        )


def write_reports(run: Run, ledger: Ledger, report: Report) -> Report:
    """
    Write every file of the report that the settings name; give the report as it was written, but for its redaction.

    What cannot be written is said in the log and in the exit code, and never hides how the run ended.
    """
    formats = frozenset(run.settings.run.formats)
    run.folder.release()
    with suppress(OSError):
        # Where somebody removed it during the run; a run directory that is gone is not made anew.
        run.folder.path.mkdir(mode=0o700)
    try:
        told = Told(report, _changes_of(run, ledger, report), ledger.quarantined, past_points(run.state, run.id))
        kept = _kept_rows(run.folder, ledger, report)
        told = told.redacted(Redactor(run.state.salt())) if report.redacted else told
        render(run.folder, msgspec.structs.replace(told, quarantined=kept) if kept else told, formats)
    except StateError as error:
        log.error("report.not_written", message=error.message)
        code = ExitCode.STOPPED if ledger.evidence.writes(run) else ExitCode.USAGE
        problem = {"message": error.message, "hint": error.hint}
        return msgspec.structs.replace(
            report, exit_code=int(report.exit_code or code), error=report.error or problem
        )
    return report


def _kept_rows(folder: RunFolder, ledger: Ledger, report: Report) -> Sequence[Quarantined]:
    """Give the quarantined rows as an earlier start of this run wrote them, where this one has not read the source."""
    file = folder.file("quarantine.csv")
    if ledger.quarantined or not report.source.quarantined:
        return ()
    with suppress(OSError):
        return read_quarantine(file.read_bytes())
    return ()


def _changes_of(run: Run, ledger: Ledger, report: Report) -> Iterator[SurveyedChange]:
    if ledger.plan is None:
        return iter(())
    if report.outcomes is None:
        return ((change, None) for change in ledger.plan.changes())
    return _while_readable(ledger.evidence.outcomes(ledger.plan, run))


def _while_readable(changes: Iterator[SurveyedChange]) -> Iterator[SurveyedChange]:
    """Give the changes up to where the plan was cut during the run: the rest of the report is told all the same."""
    try:
        yield from changes
    except StateError as error:
        log.error("report.changes_cut", message=error.message)


def told_changes(plan: PlanFile, state: StateReader, report: Report) -> Iterator[SurveyedChange]:
    """Give the changes of a run's plan, and their outcomes where it was applied."""
    if report.outcomes is not None:
        yield from settled_changes(plan, state, report.run_id)
        return
    for change in plan.changes():
        yield change, None


def told_again(folder: RunFolder, state: StateReader) -> Told | None:
    """Give what a past run told, whole, also where its files are redacted; None where it left no report."""
    file, rows = folder.file("report.json"), folder.file("quarantine.csv")
    # A run whose end the state file did not learn may have left a report all the same.
    text = state.report_of(folder.path.name) or (file.read_text("utf-8") if file.exists() else "")
    if not text:
        return None
    try:
        report = msgspec.json.decode(text, type=Report)
    except msgspec.DecodeError as error:
        raise StateError(
            f"the report of run {folder.path.name} cannot be read: {error}",
            hint="its other files are in the same folder; reconcile runs lists the other runs",
        ) from None
    return Told(
        report,
        told_changes(PlanFile(folder.plan), state, report) if folder.plan.exists() else iter(()),
        read_quarantine(rows.read_bytes()) if rows.exists() else (),
        past_points(state, report.run_id),
    )


def render(folder: RunFolder, told: Told, formats: frozenset[str]) -> None:
    """Write a run's report in these formats. Raises: StateError."""
    survey = _survey_for(told.report)
    changes = survey.watch(told.changes)
    if "csv" in formats:
        with replacing(folder.file("changes.csv")) as file:
            write_changes(file, changes)
        with replacing(folder.file("quarantine.csv")) as file:
            write_quarantine(file, told.quarantined)
    deque(changes, maxlen=0)  # what no table has read
    for form in ("md", "html", "json"):
        if form in formats:
            with replacing(folder.file(REPORT_FILES[form])) as file:
                file.write(_document(told, survey, form))


def printed(told: Told, form: str) -> bytes:
    """Give one file of a report, as `render` would write it."""
    if form == "csv":
        table = io.BytesIO()
        write_changes(table, told.changes)
        return table.getvalue()
    survey = _survey_for(told.report)
    deque(survey.watch(told.changes), maxlen=0)
    return _document(told, survey, form)


def _survey_for(report: Report) -> Survey:
    return Survey(held=frozenset(name for name, guard in report.guards.items() if guard.verdict == "held"))


def _document(told: Told, survey: Survey, form: str) -> bytes:
    match form:
        case "md":
            return render_markdown(told.report, survey, told.quarantined).encode()
        case "html":
            return render_html(told.report, survey, told.quarantined, told.past).encode()
        case _:
            return encode_report(told.report)
