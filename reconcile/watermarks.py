"""The watermark in the state file: from where on a run reads its source, when it moves, and when it is dropped."""

from datetime import timedelta

import msgspec
import structlog

from reconcile import __version__
from reconcile.core.plan import PlanHeader
from reconcile.core.report import Report, end_codes
from reconcile.core.sticking import waiting
from reconcile.core.watermark import View, Watermark, before, fingerprint, later, view_of
from reconcile.errors import ExitCode, SettingsError
from reconcile.run import Run, Step
from reconcile.settings import Settings, seconds_of
from reconcile.store.state import StateReader

__all__ = ["advance", "check_mark", "drop", "kept_in", "view"]

log = structlog.get_logger()

_WATERMARK = "watermark"  # under which the state file remembers it
_IN_FULL = frozenset({"applied", "in_step"})  # the verdicts after which nobody is left to be brought in step


def view(run: Run) -> tuple[View, Watermark | None]:
    """Say what this run reads of its source, and what is kept from earlier ones. Raises: SettingsError."""
    kept, since = kept_in(run.state), run.settings.source.since
    if run.options.since is None or run.reached.step is not Step.PLANNING:
        return View(), kept
    app, tried = run.settings.cometchat, run.state.tried()
    full_every = timedelta(seconds=seconds_of(since.full_every) or 0)
    try:
        found = view_of(
            run.options.since,
            kept,
            settings=fingerprint((app.app_id, app.host), run.settings.digests(), __version__),
            now=run.world.now(),
            full_every=(full_every, since.full_every),
            overlap=since.step,
            due=len(tried) - len(waiting(tried, run.world.now().timestamp())),
        )
    except ValueError as error:
        raise SettingsError(f"--since: {error}", hint="write it as the column does, or leave it out") from None
    return found, kept


def check_mark(settings: Settings, mark: str | None) -> None:
    """See that a column is such as the overlap can be taken from. Raises: SettingsError."""
    try:
        if mark is not None:
            before(mark, settings.source.since.step)
    except ValueError as error:
        raise SettingsError(f"source.since.overlap {error}", hint="set source.since.overlap") from None


def advance(run: Run, made: PlanHeader, report: Report) -> None:
    """
    Move the watermark to what this run has read, where it left nobody to be brought in step.

    A value that CometChat takes and does not keep moves it all the same: the state file has it, and it is tried again.
    """
    source = made.source
    is_done = report.exit_code == ExitCode.DONE and report.verdict in _IN_FULL
    is_done = is_done or _is_done_but_for_known(report, run.state.count_unstuck(run.id))
    if source.mark is None or not is_done or run.command != "apply" or run.reached.step is not Step.APPLYING:
        return
    settings = fingerprint((made.app_id, made.host), made.settings, __version__)
    if source.since is None:
        moved = Watermark(source.mark, settings, run.id, run.started_at.isoformat())
    else:
        kept = kept_in(run.state)
        if kept is None or kept.settings != settings:
            return
        moved = msgspec.structs.replace(kept, mark=later(source.mark, kept.mark))
    run.state.remember(_WATERMARK, msgspec.json.encode(moved).decode(), run.today())
    log.info("watermark.moved", mark=moved.mark, since=source.since)


def _is_done_but_for_known(report: Report, unstuck: int) -> bool:
    """Whether nothing but known differences, of which this run found `unstuck`, keeps a run from full success."""
    if report.verdict != "incomplete" or report.error is not None or report.outcomes is None:
        return False
    rest = {**report.outcomes, "rejected": report.outcomes["rejected"] - unstuck}
    others = msgspec.structs.replace(report.drift, known_differences=None)
    return end_codes(rest, others) is ExitCode.DONE and not rest["not_attempted"]


def drop(run: Run) -> None:
    """Forget the watermark: users are about to be put back to what the source does not say."""
    run.state.remember(_WATERMARK, "", run.today())


def kept_in(state: StateReader) -> Watermark | None:
    """Give the watermark; None where there is none."""
    return state.remembered_as(_WATERMARK, Watermark)
