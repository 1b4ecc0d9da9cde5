"""
What others are told of a run in a few lines: how it ended, what that changes, what a person has to do.

It leaves the machine, so it names no user: texts of the report that may are not taken over.
"""

from collections.abc import Iterator, Mapping

import msgspec

from reconcile.core.report import Report, ended_without_report
from reconcile.core.sticking import REMEDY, differing
from reconcile.errors import ExitCode

__all__ = ["Known", "Summary", "a_test", "change_of", "kind_of", "said", "summary_of", "summary_without_run"]

SCHEMA_VERSION = 1
_TO_RESUME = frozenset({ExitCode.STOPPED, ExitCode.SIGINT, ExitCode.SIGTERM})
_REMEDIES = {
    ExitCode.BUG: "a bug, or numbers that do not add up: see the log",
    ExitCode.USAGE: "see the log: every problem stands there with its remedy",
    ExitCode.SOURCE: "look at the export; the report says what is wrong with it",
    ExitCode.UNREACHABLE: "reconcile doctor says what is wrong with the way to CometChat, or the key",
    ExitCode.LOCKED: "another run is at work; look whether it hangs: reconcile runs",
}
_TROUBLE = ("rejected", "skipped", "failed")


class Known(msgspec.Struct, frozen=True):
    """How the run before ended, as it was told. Times are ISO 8601."""

    run_id: str | None
    verdict: str
    exit_code: int
    finished_at: str


class Summary(msgspec.Struct, frozen=True):
    """
    A run in short. Times are ISO 8601; counts and `held` (class to number of changes) are whole numbers.

    `run_id` is None where no run could be opened; `change` is none, failed, failed_otherwise or recovered.
    """

    run_id: str | None
    command: str
    app_id: str
    verdict: str
    exit_code: int
    headline: str
    started_at: str
    finished_at: str
    counts: dict[str, int]
    held: dict[str, int]
    needs: tuple[str, ...]
    change: str = "none"
    previous: Known | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def known(self) -> Known:
        """What the next run has to know of this one."""
        return Known(self.run_id, self.verdict, self.exit_code, self.finished_at)


def kind_of(command: str) -> str:
    """Name the kind of run whose states are held against each other: a dry run says nothing about writing ones."""
    return "plan" if command == "plan" else "apply"


def change_of(before: Known | None, exit_code: int) -> str:
    """Say what an end changes. Where nothing is known of a run before, that one is taken for good."""
    last = before.exit_code if before else 0
    if exit_code == last:
        return "none"
    if exit_code == 0:
        return "recovered"
    return "failed_otherwise" if last else "failed"


def summary_of(report: Report) -> Summary:
    """Give a run in short."""
    held = {name: guard.measured or 0 for name, guard in report.guards.items() if guard.verdict == "held"}
    return Summary(
        run_id=report.run_id,
        command=report.command,
        app_id=report.app_id,
        verdict=report.verdict,
        exit_code=report.exit_code,
        headline=report.headline,
        started_at=report.started_at,
        finished_at=report.finished_at,
        counts=dict(_counts(report)),
        held=held,
        needs=tuple(_needs(report)),
    )


def summary_without_run(
    command: str, app_id: str, code: ExitCode, started_at: str, finished_at: str, run_id: str | None
) -> Summary:
    """Give what ended without a report: it could not be opened, or met a bug."""
    verdict, words = ended_without_report(code)
    needs = (_REMEDIES[code],) if code in _REMEDIES else ()
    return Summary(run_id, command, app_id, verdict, int(code), words, started_at, finished_at, {}, {}, needs)


def a_test(app_id: str, now: str) -> Summary:
    """Give what is sent when somebody wants to see that it arrives."""
    words = "A test: somebody asked for it by reconcile doctor --notify, and no run has taken place."
    return Summary(None, "doctor", app_id, "test", int(ExitCode.DONE), words, now, now, {}, {}, ())


def said(summary: Summary) -> tuple[str, str]:
    """Give title and text for people."""
    before = summary.previous
    turn = {
        "recovered": f"recovered (before: {before.verdict})" if before else "recovered",
        "failed_otherwise": f"{summary.verdict} (before: {before.verdict})" if before else summary.verdict,
    }.get(summary.change, summary.verdict)
    title = f"reconcile {summary.command}, app {summary.app_id}: {turn}"
    lines = [summary.headline, *(f"- {need}" for need in summary.needs)]
    return title, "\n".join([*lines, f"Exit code {summary.exit_code}, run {summary.run_id or 'not opened'}."])


def _counts(report: Report) -> Iterator[tuple[str, int]]:
    """Give what is known of the numbers, each under the name of its place in report.json."""
    parts: dict[str, Mapping[str, int | None]] = {
        "source": {"rows": report.source.rows, "quarantined": report.source.quarantined},
        "drift": msgspec.to_builtins(report.drift),
        "plan": msgspec.to_builtins(report.plan),
        "outcomes": report.outcomes or {},
    }
    for part, numbers in parts.items():
        yield from ((f"{part}.{name}", number) for name, number in numbers.items() if number is not None)


def _needs(report: Report) -> Iterator[str]:
    """Say what a person has to do, most urgent first."""
    code = report.exit_code
    if code in _TO_RESUME and report.command != "plan":
        yield "finish it: reconcile resume"
    yield from (words for known, words in _REMEDIES.items() if known == code)
    for name, guard in report.guards.items():
        if guard.verdict == "held":
            yield f"{name} is held" + (f"; to let it pass: {guard.release}" if guard.release else "")
    if code == ExitCode.HELD and report.outcomes is None:
        yield f"look at the plan, then: reconcile apply {report.run_id}"
    trouble = [f"{number} {name}" for name in _TROUBLE if (number := (report.outcomes or {}).get(name))]
    if report.drift.unknown:
        trouble.append(f"{report.drift.unknown} unknown")
    if trouble:
        yield f"{', '.join(trouble)}: see changes.csv of the run"
    if report.drift.known_differences:
        yield f"{differing(report.drift.known_differences)}; {REMEDY}; to try now: reconcile retry {report.run_id}"
    if report.source.quarantined:
        yield f"{report.source.quarantined} source rows are quarantined: see quarantine.csv of the run"
