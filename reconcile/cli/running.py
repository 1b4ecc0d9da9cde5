"""What `plan` and `apply` share: a run from its settings to its summary."""

import os
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import click

from reconcile.cli.ending import columns, drop_stdout, lines, say, show
from reconcile.cli.streams import lost_lines, wait_no_longer_than
from reconcile.errors import ReconcileError

__all__ = ["run_and_tell"]

_SHOWN_CHANGES = 10
_READER_S = 10.0  # how long the result waits for its reader; the report has it, too


def run_and_tell(
    name: str,
    settings: Any,
    options: Any,
    body: Callable[[Any], Any],
    *,
    given: Mapping[str, Any],
    stage: Any = None,
    environ: Mapping[str, str] | None = None,
    again: Any = None,
) -> int:
    """
    Open a run, carry `body` out, tell its report, and give its exit code.

    `given` holds the flags `as_json`, `quiet` and, where there is one, `show_changes`; `stage` is where the run
    begins, planning unless it is named; `environ` stands in for the process's own; `again` is an unfinished run that goes on.
    """
    from reconcile.config import environment  # noqa: PLC0415 - keeps --help light
    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.opening import opened  # noqa: PLC0415
    from reconcile.progress import make_progress  # noqa: PLC0415
    from reconcile.run import Stage, Step, real_world  # noqa: PLC0415

    begin = stage or Stage(Step.PLANNING)
    world = real_world(environment() if environ is None else environ)
    # A terminal that cannot move its cursor would get a line for each step.
    stream = None if os.environ.get("TERM") == "dumb" else sys.stderr
    progress = make_progress(quiet=given["quiet"], stream=stream, monotonic=world.monotonic)
    report = None
    try:
        with opened(
            name, settings, options, world, progress, begin, note=lambda words: say(words, err=True), again=again
        ) as (run, told):
            report = told.report = body(run)
            redactor, folder = _redactor(run), run.folder.path
    except ReconcileError as error:
        # How the run ended is known, and stays its exit code whatever else fails behind it.
        if report is None:
            raise
        say(f"note: {safe(error.message, 800)}", err=True)
        return int(report.exit_code)
    # Outside of the run: a slow reader holds up no lock.
    wait_no_longer_than(_READER_S)
    try:
        tell(report, folder, as_json=given["as_json"], redactor=redactor, show_changes=given.get("show_changes"))
    except (OSError, ReconcileError) as error:
        drop_stdout()
        words = error.strerror if isinstance(error, OSError) else error.message
        say(f"the result cannot be printed: {safe(words, 800)}; it stands in {safe(folder, 500)}", err=True)
    except KeyboardInterrupt:
        drop_stdout()
    if lost_lines():
        say(f"note: {lost_lines()} lines of the log were lost, because nobody read them", err=True)
    return int(report.exit_code)


def _redactor(run: Any) -> Any:
    if not run.options.redact:
        return None
    from reconcile.core.redaction import Redactor  # noqa: PLC0415

    return Redactor(run.state.salt())


def tell(
    report: Any, folder: Any, *, as_json: bool, redactor: Any = None, show_changes: int | None = None
) -> None:
    """
    Print a report: as JSON, or as a summary for people; without its users where there is a redactor.

    `show_changes`: so many changes of the plan, whatever the screen; without it, what has room there.
    """
    from reconcile.logs import safe  # noqa: PLC0415
    from reconcile.report import encode_report  # noqa: PLC0415
    from reconcile.report.terminal import render_terminal  # noqa: PLC0415
    from reconcile.store.planfile import PlanFile  # noqa: PLC0415

    report = redactor.report(report) if redactor else report
    if as_json:
        show(encode_report(report).decode())
        return
    path = folder / "plan.jsonl.gz"
    is_asked = show_changes is not None
    changes = []
    if path.exists() and (report.outcomes is None or is_asked):
        first = islice(PlanFile(path).changes(), show_changes if is_asked else _SHOWN_CHANGES)
        changes = [redactor.change(change) if redactor else change for change in first]
    names = [name for name in ("report.html", "changes.csv", "plan.jsonl.gz") if (folder / name).exists()]
    files = [f"  {click.style(f'{name:<13}', dim=True)} {safe(folder / name, 500)}" for name in names]
    say(render_terminal(report, changes, files, width=columns(), lines=lines(), shows_all=is_asked))
