"""The report as one HTML page that needs nothing else: no request leaves it, no script is in it."""

import base64
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from reconcile import __version__
from reconcile.core.frame import Quarantined
from reconcile.core.outcome import Settled
from reconcile.core.plan import Change, plain
from reconcile.core.report import Report
from reconcile.logs import safe
from reconcile.report.words import count_rows, shown_value

__all__ = ["render_html"]

_QUARANTINED = 500
_TONES = {
    "in_step": "good",
    "applied": "good",
    "planned": "plain",
    "canary": "warn",
    "planned_held": "warn",
    "held": "warn",
    "incomplete": "warn",
}
_SITUATIONS = ("in_step", "missing", "drifted", "deactivated", "protected", "unknown")


def render_html(
    report: Report, changes: Sequence[tuple[Change, Settled | None]], quarantined: Sequence[Quarantined]
) -> str:
    """Write the page; foreign text is escaped, and the policy in its head lets nothing load or run."""
    style = _template("report.css")
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            tone=_TONES.get(report.verdict, "bad"),
            tables=count_rows(report),
            situations=_shares(report),
            changes=[_row(change, settled) for change, settled in changes],
            quarantined=quarantined[:_QUARANTINED],
            quarantined_total=len(quarantined),
            style=Markup(style),  # noqa: S704 - our own file, named by its hash in the policy
            style_digest=digest,
            version=__version__,
        )
    )


def _row(change: Change, settled: Settled | None) -> dict[str, object]:
    before, after = plain(change.before), plain(change.after)
    fields = [(name, shown_value(before.get(name)), shown_value(after.get(name))) for name in change.fields]
    return {"change": change, "fields": fields, "settled": settled}


def _shares(report: Report) -> list[tuple[str, int, float]]:
    """Give the desired users by situation: name, number, percent."""
    counts = [(name, getattr(report.drift, name) or 0) for name in _SITUATIONS]
    total = sum(number for _, number in counts)
    return [(name, number, 100 * number / total) for name, number in counts if number] if total else []


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
    environment.filters["safe_text"] = lambda text: safe(text, 400)
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    environment.filters["number"] = lambda number: f"{number:,}"
    return environment
