"""The report on a terminal: the verdict, the counts, what needs a person. Fits one screen."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import click

from reconcile.core.plan import Action, Change
from reconcile.core.report import Report
from reconcile.logs import safe
from reconcile.report.words import change_parts, change_words, limit_rows, share_words, waiver_words

__all__ = ["render_terminal"]

T = TypeVar("T")

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
    Action.DEACTIVATE: ("!", "red"),
}
_WORDS = {Action.REACTIVATE: "switch on: ", Action.DEACTIVATE: "switch off: "}
_UID_WIDTH = 24
_LEAST = 3  # changes that are shown on the smallest screen
_MANY = 100  # changes that one more look shows
_UNWRAPPED = 100_000  # what is no terminal gets a line for each thing that is said
_TITLE = 11  # of a row of counts


def render_terminal(
    report: Report,
    changes: Sequence[Change],
    files: Iterable[str],
    *,
    width: int = 100,
    lines: int | None = None,
    shows_all: bool = False,
) -> str:
    """
    Write the summary of a run, on a screen of `width` by `lines`; what has no room there is counted.

    `shows_all`: somebody asked for these changes, and all of them are shown. Colours are marks that the terminal layer
    strips where it must.
    """
    wrap = _UNWRAPPED if lines is None else width
    color = _COLORS.get(report.verdict, "red")
    head = [click.style(line, fg=color, bold=True) for line in _wrapped(safe(report.headline, 300), wrap)]
    if report.error:
        head += _wrapped(safe(report.error["message"], 600), wrap)
    counts = [line for name, words in _counts(report) for line in _counted(name, words, wrap)]
    needs = [_wrapped(f"  - {safe(need, 400)}", wrap, 4) for need in report.needs]
    notes = [_wrapped(f"Note: {safe(note, 400)}", wrap, 6) for note in report.notes]
    diff, shown = _diff(changes, report, width), list(files)
    summary = _Summary(head, diff, counts, needs, notes, shown, report.plan.total)
    if lines is None:
        return summary.text()
    steps = (_fewer_notes, _fewer_needs, _fewer_files) if shows_all else _STEPS
    for step in steps:
        if summary.height < lines - sum(map(len, diff)) * shows_all:
            break
        summary = step(summary, lines)
    return summary.text()


@dataclass(frozen=True, slots=True)
class _Summary:
    """The blocks of a summary: lines, or entries of lines; `total` is how many changes there are."""

    head: list[str]
    diff: list[list[str]]
    counts: list[str]
    needs: list[list[str]]
    notes: list[list[str]]
    files: list[str]
    total: int

    def text(self) -> str:
        """Put the blocks together, a blank line between two."""
        rest = self.total - len(self.diff) if self.diff else 0
        more = [f"  … and {rest:,} more: --show {'all' if rest <= _MANY else _MANY}"] if rest > 0 else []
        needs = [click.style("Needs you:", bold=True), *chain(*self.needs)] if self.needs else []
        blocks = [
            self.head,
            [line for entry in self.diff for line in entry] + more,
            self.counts,
            [*needs, *chain(*self.notes)],
            self.files,
        ]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    @property
    def height(self) -> int:
        """How many lines it takes."""
        return self.text().count("\n") + 1


def _fewer_notes(summary: _Summary, _lines: int) -> _Summary:
    number = len(summary.notes)
    return replace(summary, notes=[[f"{number} notes: see the report"]]) if number > 1 else summary


def _flat_changes(summary: _Summary, _lines: int) -> _Summary:
    """A line for each change: its first field, and how many there are."""
    flat = [[f"{entry[0]} (+{len(entry) - 1})"] if len(entry) > 1 else entry for entry in summary.diff]
    return replace(summary, diff=flat)


def _fewer_changes(summary: _Summary, lines: int) -> _Summary:
    over = summary.height - lines + 2  # the line that counts the rest may be new
    return replace(summary, diff=summary.diff[: max(len(summary.diff) - over, _LEAST)])


def _fewer_needs(summary: _Summary, lines: int) -> _Summary:
    for kept in range(len(summary.needs) - 1, 0, -1):
        more = [f"  … and {len(summary.needs) - kept} more: see the report"]
        fewer = replace(summary, needs=[*summary.needs[:kept], more])
        if fewer.height < lines or kept == 1:
            return fewer
    return summary


def _fewer_files(summary: _Summary, _lines: int) -> _Summary:
    return replace(summary, files=summary.files[:1])


def _short_counts(summary: _Summary, _lines: int) -> _Summary:
    """Leave the second lines out: what is rare, and what stands in the report as well."""
    return replace(summary, counts=[line for line in summary.counts if not line.startswith(" " * (_TITLE + 2))])


# What a summary gives up where the screen is small, the least needed first.
_STEPS: tuple[Callable[[_Summary, int], _Summary], ...] = (
    _fewer_notes,
    _flat_changes,
    _fewer_changes,
    _fewer_files,
    _short_counts,
    _fewer_needs,
)


def _wrapped(text: str, width: int, indent: int = 2) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]


def _counted(name: str, words: str, width: int) -> list[str]:
    lines = _wrapped(words, max(width - _TITLE - 2, 20))
    return [
        f"  {title:<{_TITLE - 1}} {line}" for title, line in zip((name, *[""] * len(lines)), lines, strict=False)
    ]


def _diff(changes: Sequence[Change], report: Report, width: int) -> list[list[str]]:
    """Write each change as `+ uid  what it gets`, `~ uid  what becomes what` (a field a line), or `! uid  switch on`."""
    held = {name for name, guard in report.guards.items() if guard.verdict == "held"}
    size = min(max((len(safe(change.uid)) for change in changes), default=0), _UID_WIDTH)
    found = []
    for change in changes:
        sign, color = _SIGNS[change.action]
        parts = change_parts(change) if change.action is Action.UPDATE else [change_words(change)]
        parts[0] = _WORDS.get(change.action, "") + parts[0]
        uid = safe(change.uid, max(size, 8))
        tail = " (held)" if change.guard_class in held else ""
        room = max(width - size - 6 - len(tail), 16)
        first = f"  {click.style(sign, fg=color)} {uid:<{size}}  {safe(parts[0], room)}{tail}"
        found.append([first, *(f"    {'':<{size}}  {safe(part, room)}" for part in parts[1:])])
    return found


def _counts(report: Report) -> list[tuple[str, str]]:
    source, directory, drift = report.source, report.directory, report.drift
    rows: list[tuple[str, str]] = []
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
                (f"unmanaged{_scope_words(report)}", drift.unmanaged),
            )
            if number != 0
        ]
        rows += [("", ", ".join(rest))] if rest else []
    rows += _outcome_rows(report)
    return rows


def _scope_words(report: Report) -> str:
    outside = report.drift.unmanaged_out_of_scope
    return f" ({outside:,} out of scope)" if outside else ""


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
    rows += [
        ("limits" if first else "", f"{name}: {words}") for first, (name, words) in _marked(limit_rows(report))
    ]
    rows += [("let pass" if first else "", words) for first, words in _marked(waiver_words(report.waivers))]
    sent = report.requests
    rows.append(("requests", f"{sent.core:,} core, {sent.standard:,} standard, {sent.throttled:,} throttled"))
    return rows


def _marked(items: Sequence[T]) -> Iterable[tuple[bool, T]]:
    """Give each item, and whether it is the first: only that one bears the title of its row."""
    return ((at == 0, item) for at, item in enumerate(items))


def _n(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
