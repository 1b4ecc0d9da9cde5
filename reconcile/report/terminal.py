"""The report on a terminal: the verdict, the counts, what needs a person. Fits one screen."""

from collections.abc import Iterable, Sequence

import click

from reconcile.core.outcome import Settled
from reconcile.core.plan import Action, Change
from reconcile.core.report import Report
from reconcile.logs import safe
from reconcile.report.words import change_words, share_words

__all__ = ["render_terminal"]

_COLORS = {
    "in_step": "green",
    "applied": "green",
    "canary": "yellow",
    "planned": "cyan",
    "planned_held": "yellow",
    "held": "yellow",
    "incomplete": "yellow",
}
_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REACTIVATE: ("!", "magenta"),
    Action.DEACTIVATE: ("-", "red"),
}


def render_terminal(report: Report, changes: Sequence[Change], files: Iterable[str], width: int = 100) -> str:
    """Write the summary of a run. Colours are marks that the terminal layer strips where it must."""
    lines = [click.style(safe(report.headline, 300), fg=_COLORS.get(report.verdict, "red"), bold=True)]
    if report.error:
        lines.append(safe(report.error["message"], 600))
    lines += ["", *_diff(changes, report, width)] if changes else []
    lines += ["", *_counts(report)]
    needs = [*report.needs]
    if needs:
        lines += ["", click.style("Needs you:", bold=True)]
        lines += [f"  - {safe(need, 400)}" for need in needs]
    if report.notes:
        lines += ["", *(f"Note: {safe(note, 400)}" for note in report.notes)]
    shown = list(files)
    if shown:
        lines += ["", *shown]
    return "\n".join(lines)


def _diff(changes: Sequence[Change], report: Report, width: int) -> list[str]:
    lines = []
    for change in changes:
        sign, color = _SIGNS[change.action]
        uid = safe(change.uid)
        words = safe(change_words(change), max(width - len(uid) - 5, 40))
        lines.append(f"  {click.style(sign, fg=color)} {uid}  {words}")
    rest = report.plan.total - len(changes)
    return [*lines, f"  … and {rest:,} more" if rest > 0 else ""]


def _counts(report: Report) -> list[str]:
    source, directory, drift = report.source, report.directory, report.drift
    rows = []
    if source.rows is not None:
        part = f" ({source.part})" if source.part else ""
        rows.append(("source", f"{source.rows:,} rows{part}, {_n(source.quarantined)} quarantined"))
    if directory.users is not None:
        seen = f"{directory.users:,} users seen, {_n(directory.deactivated)} of them deactivated"
        rows.append(("directory", f"{seen}, {_n(directory.requests)} requests"))
        rows.append(
            (
                "drift",
                f"{_n(drift.in_step)} in step, {_n(drift.missing)} missing, {_n(drift.drifted)} drifted "
                f"({_n(drift.stale)} stale, {_n(drift.role_mismatched)} role mismatched)",
            )
        )
        rest = [
            f"{_n(number)} {name}"
            for name, number in (
                ("deactivated", drift.deactivated),
                ("protected", drift.protected),
                ("unknown", drift.unknown),
                ("unmanaged", drift.unmanaged),
            )
            if number != 0
        ]
        rows += [("", ", ".join(rest))] if rest else []
    rows += _outcome_rows(report)
    return [f"  {name:<10} {words}" for name, words in rows]


def _outcome_rows(report: Report) -> list[tuple[str, str]]:
    rows = []
    if report.outcomes is not None:
        told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in report.outcomes.items() if n)
        rows.append(("outcomes", told or "none"))
        if report.spent is not None and report.forecast is not None:
            requests, seconds = report.spent
            fact = f"{requests:,} requests in {seconds:,.0f} s"
            foretold = f"{report.forecast['requests']:,} in {report.forecast['seconds']:,} s were forecast"
            rows.append(("apply", f"{fact}; {foretold}"))
    elif report.forecast is not None and report.plan.total:
        seconds = report.forecast["seconds"]
        rows.append(("forecast", f"{report.forecast['requests']:,} requests, about {seconds:,} s"))
        if shares := share_words(report.forecast):
            rows.append(("", f"of the app's budget meanwhile: {shares}"))
        if report.forecast.get("note"):
            rows.append(("", report.forecast["note"]))
    sent = report.requests
    rows.append(("requests", f"{sent.core:,} core, {sent.standard:,} standard, {sent.throttled:,} throttled"))
    return rows


def _n(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def first_changes(changes: Iterable[tuple[Change, Settled | None]], count: int) -> list[Change]:
    """Give the first changes for the summary."""
    found = []
    for change, _ in changes:
        found.append(change)
        if len(found) == count:
            break
    return found
