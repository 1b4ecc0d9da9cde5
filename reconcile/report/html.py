"""The report as one HTML page that needs nothing else: no request leaves it, and no script but its own runs in it."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from importlib import resources
from typing import TypeVar

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from reconcile import __version__
from reconcile.core.frame import Quarantined
from reconcile.core.report import Report
from reconcile.core.survey import Survey
from reconcile.logs import safe
from reconcile.report import charts
from reconcile.report.past import Point, point_of
from reconcile.report.rows import Row, pack, row_of
from reconcile.report.words import REMEDIES, duration, share_words, tasks, waiver_words

__all__ = ["render_html"]

T = TypeVar("T")

_PAGE = 1_000_000  # bytes at the most, however long the texts are: mail and browsers take that at once
_QUARANTINED = 200  # rows that the page shows; quarantine.csv has all
_PLAIN = 100  # changes that stand in the page as they are, for readers without the script
_PART = 150_000  # bytes at the most of either, and of the unmanaged users; the packed changes get what is left
_MARKUP = 40  # bytes around a text, or so
_SENTENCE = 500  # bytes that the words about the sample take at the most
_SITUATIONS = ("in_step", "missing", "drifted", "deactivated", "protected", "unknown")
_ACTIONS = ("create", "update", "reactivate", "deactivate")
_OUTCOMES = ("applied", "already", "rejected", "failed", "skipped", "held", "not_attempted")
_LONGEST = 400  # characters of a text from outside
_LONG_NUMBER = re.compile(r"(?<![\w.,-])\d{4,15}(?![\w-])", re.ASCII)
# Tone and name of each verdict; every other is bad news and bears its own name.
_VERDICTS = {
    "in_step": ("good", "In step"),
    "applied": ("good", "Applied"),
    "planned": ("plain", "Planned"),
    "planned_held": ("warn", "Planned, some held"),
    "canary": ("plain", "Canary"),
    "held": ("warn", "Held"),
    "incomplete": ("warn", "Partial"),
}


def render_html(
    report: Report, survey: Survey, quarantined: Sequence[Quarantined], past: Sequence[Point] = ()
) -> str:
    """Write the page; foreign text is escaped, and the policy in its head lets nothing foreign load or run."""
    rows = [row_of(change, settled, survey.outcome(change, settled)) for change, settled in survey.sample]
    page = partial(_page, report, survey, quarantined, past, rows[: _fit(rows[:_PLAIN], _texts_of)])
    rest = len(page(data="", shown=0).encode()) + _SENTENCE
    data, shown = pack(rows, _PAGE - rest)
    return page(data=data, shown=shown)


def _page(
    report: Report,
    survey: Survey,
    quarantined: Sequence[Quarantined],
    past: Sequence[Point],
    plain: Sequence[Row],
    *,
    data: str,
    shown: int,
) -> str:
    tone, name = _VERDICTS.get(report.verdict, ("bad", report.verdict.replace("_", " ").capitalize()))
    style, script = _template("report.css"), _template("report.js")
    outcomes, drift = report.outcomes or {}, report.drift
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            tone=tone,
            verdict=name,
            tasks=tasks(report),
            waivers=waiver_words(report.waivers),
            situations=charts.stack((key, getattr(drift, key) or 0) for key in _SITUATIONS),
            actions=charts.stack((key, getattr(report.plan, key) or 0) for key in _ACTIONS),
            outcomes=charts.stack((key, outcomes.get(key, 0)) for key in _OUTCOMES),
            trend=charts.trend([*past, point_of(report)]),
            fields=charts.field_bars(survey),
            roles=charts.role_moves(survey),
            guards=charts.bullets(report),
            spending=charts.spending(report.usage),
            stages=charts.stack(report.timing.items()),
            costs=charts.costs(report),
            shares=share_words(report.forecast or {}),
            seconds=_lasted(report),
            survey=survey,
            rows=plain,
            data=data,
            shown=shown,
            quarantined=quarantined[: _fit(quarantined[:_QUARANTINED], _texts_of_quarantined)],
            quarantined_total=len(quarantined),
            remedies=REMEDIES,
            unmanaged=report.unmanaged_users[: _fit(report.unmanaged_users, lambda uid: (uid,))],
            style=Markup(style),  # noqa: S704 - our own files, named by their hashes in the policy
            script=Markup(script),  # noqa: S704
            style_digest=_digest(style),
            script_digest=_digest(script),
            version=__version__,
        )
    )


def _fit(items: Sequence[T], texts_of: Callable[[T], Iterable[str]]) -> int:
    """Give how many of the first items have room, by what is written of each."""
    room = _PART
    for number, item in enumerate(items):
        room -= sum(len(escape(safe(text, _LONGEST)).encode()) + _MARKUP for text in texts_of(item))
        if room < 0:
            return number
    return len(items)


def _texts_of(row: Row) -> Iterator[str]:
    yield from (row.uid, row.action, row.outcome, row.detail, *row.reasons)
    yield from (text or "nothing" for field in row.fields for text in field)


def _texts_of_quarantined(row: Quarantined) -> tuple[str, ...]:
    return (row.uid or row.raw_uid, row.kind, row.detail, REMEDIES[row.kind])


def _lasted(report: Report) -> float:
    began, ended = (datetime.fromisoformat(text) for text in (report.started_at, report.finished_at))
    return (ended - began).total_seconds()


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode()


def _moment(text: str) -> str:
    """Give a time as people read it, in UTC: all of ours are."""
    return text[:16].replace("T", " ")


def _breakable(name: str) -> Markup:
    """Let the name of a metadata key go on in the next line."""
    return (
        escape(name).replace("metadata.", Markup("metadata.<wbr>"), 1)
        if name.startswith("metadata.")
        else escape(name)
    )


@cache
def _template(name: str) -> str:
    return resources.files("reconcile.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["safe_text"] = lambda text: safe(text, _LONGEST)
    environment.filters["breakable"] = _breakable
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    environment.filters["number"] = lambda number: "–" if number is None else f"{number:,}"
    environment.filters["grouped"] = lambda text: _LONG_NUMBER.sub(lambda found: f"{int(found[0]):,}", text)
    environment.filters["percent"] = lambda number: f"{number:.3f}".rstrip("0").rstrip(".")
    environment.filters["duration"] = duration
    environment.filters["moment"] = _moment
    return environment
