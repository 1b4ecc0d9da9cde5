"""The report as Markdown: for a chat message, a pull request, a job summary."""

import re
from collections.abc import Sequence

from reconcile.core.frame import Quarantined
from reconcile.core.outcome import Settled
from reconcile.core.report import Report
from reconcile.core.survey import Survey
from reconcile.logs import safe
from reconcile.report.words import change_words, count_rows

__all__ = ["render_markdown"]

_ROWS = 50
_LIST_MARK = re.compile(r"^([0-9]*)([-+=.)])")  # what begins a list, or underlines a title


def render_markdown(report: Report, survey: Survey, quarantined: Sequence[Quarantined]) -> str:
    """Write the report for people who read Markdown; foreign text is inert in it."""
    changes = survey.sample[:_ROWS]
    lines = [f"# {_inert(report.headline)}", ""]
    lines += [f"- {_inert(need, 400)}" for need in report.needs] + [""]
    lines += [
        f"Run `{report.run_id}` of `reconcile {report.command}` for the app {_inert(report.app_id)}, "
        f"{report.started_at} to {report.finished_at}, exit code {report.exit_code}.",
        "",
    ]
    for title, rows in count_rows(report):
        lines += [f"## {title}", "", "| | |", "|---|---:|"]
        lines += [f"| {_inert(name)} | {_inert(value)} |" for name, value in rows] + [""]
    if report.notes:
        lines += ["## Notes", "", *(f"- {_inert(note, 400)}" for note in report.notes), ""]
    if changes:
        first = ", those that need a person before the others" if survey.urgent else ""
        lines += ["## Changes", "", "| uid | action | what | outcome |", "|---|---|---|---|"]
        lines += [
            f"| {_inert(change.uid)} | {change.action} | {_inert(change_words(change), 300)} | {_outcome(settled)} |"
            for change, settled in changes
        ]
        lines += [
            "",
            f"The first {len(changes)} of {report.plan.total}{first}; all stand in `changes.csv`.",
            "",
        ]
    if quarantined:
        lines += ["## Quarantine", "", "| row | kind | why |", "|---:|---|---|"]
        lines += [f"| {row.source_row} | {row.kind} | {_inert(row.detail, 300)} |" for row in quarantined[:_ROWS]]
        lines += [
            "",
            f"The first {min(len(quarantined), _ROWS)} of {len(quarantined)}; all stand in `quarantine.csv`.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _outcome(settled: Settled | None) -> str:
    if settled is None:
        return ""
    return f"{settled.outcome} {_inert(settled.detail, 200)}".strip()


def _inert(text: object, limit: int = 120) -> str:
    """Escape what Markdown or HTML would act on."""
    shown = safe(text, limit).strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|#!~":
        shown = shown.replace(mark, f"\\{mark}")
    shown = _LIST_MARK.sub(r"\1\\\2", shown)
    # A bare address would become a link.
    return shown.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
