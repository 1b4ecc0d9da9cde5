"""The numbers of a report as shapes: what is drawn, in percent of its place. Colours and words are the template's."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconcile.core.report import GuardLine, Report
from reconcile.core.survey import Move, Survey
from reconcile.core.usage import Usage
from reconcile.report.past import RUNS, Point
from reconcile.report.words import recent_words

__all__ = ["bullets", "costs", "field_bars", "role_moves", "spending", "stack", "trend"]

# Limits from below; the others are limits from above.
_AT_LEAST = frozenset({"min_rows", "max_shrink_percent", "sentinels", "sha256"})
_SEEN = 1.5  # percent of a bar: on a phone two points between its neighbours
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: its share, and where it is drawn from and how wide; all in percent."""

    name: str
    number: float
    percent: float
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar beside others of its kind; `percent` of the longest."""

    name: str
    number: int
    percent: float
    parts: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleMove:
    """So many users go from one role to another; `percent` of the most."""

    before: str
    after: str
    number: int
    percent: float


@dataclass(frozen=True, slots=True)
class Bullet:
    """A guard: what was measured, and the mark that it is held against (None: no limit), in percent of the scale."""

    name: str
    verdict: str
    words: str
    release: str
    because: str
    percent: float
    mark: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A run in the trend; heights in percent, None where it did not get so far."""

    point: Point
    slot: int
    drift: float | None
    made: float
    failed: float


@dataclass(frozen=True, slots=True)
class Trend:
    """The last runs; `drift` and `made` are the largest numbers, at 100 percent."""

    columns: tuple[Column, ...]
    drift: int
    made: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A forecast and the fact, None where nothing was applied; in `unit`, and in percent of the larger."""

    unit: str
    foretold: float
    fact: float | None
    foretold_percent: float
    fact_percent: float | None


@dataclass(frozen=True, slots=True)
class Spending:
    """One rate group over time: an outline in units of a bucket and percent, and where the share of the limit is."""

    group: str
    outline: str
    buckets: int
    mark: float
    allowed: float
    peak: float
    total: int


def stack(counts: Iterable[tuple[str, float]]) -> tuple[Segment, ...]:
    """Put numbers end to end; what is nothing is left out, and what is next to nothing is wide enough to be seen."""
    filled = [(name, number) for name, number in counts if number]
    total = sum(number for _, number in filled)
    shares = [100 * number / total for _, number in filled]
    least = min(_SEEN, 50 / (len(shares) or 1))
    large = [share for share in shares if share >= least]
    scale = (100 - least * (len(shares) - len(large))) / (sum(large) or 1)
    made, start = [], 0.0
    for (name, number), share in zip(filled, shares, strict=True):
        width = share * scale if share >= least else least
        made.append(Segment(name, number, share, start, width))
        start += width
    return tuple(made)


def field_bars(survey: Survey) -> tuple[Bar, ...]:
    """Give the updates by field, most first, each with what they do to it."""
    totals = Counter({name: moves.total() for name, moves in survey.fields.items()}).most_common(_SHOWN)
    most = max((number for _, number in totals), default=0)
    return tuple(
        Bar(name, number, 100 * number / most, stack((move, survey.fields[name][move]) for move in Move))
        for name, number in totals
    )


def role_moves(survey: Survey) -> tuple[RoleMove, ...]:
    """Give who changes from which role to which, most first."""
    found = Counter({(before or "no role", after or "no role"): n for (before, after), n in survey.roles.items()})
    found.update({("new user", role or "no role"): n for role, n in survey.created.items()})
    shown = found.most_common(_SHOWN)
    most = max((number for _, number in shown), default=0)
    return tuple(RoleMove(before, after, n, 100 * n / most) for (before, after), n in shown)


def bullets(report: Report) -> tuple[Bullet, ...]:
    """Give the guards: those that hold something first, and those that had nothing to judge left out."""
    every = [
        _bullet(name, guard)
        for name, guard in report.guards.items()
        if guard.measured is not None and (guard.measured or guard.verdict != "pass" or guard.base is None)
    ]
    return tuple(sorted(every, key=lambda bullet: bullet.verdict == "pass"))


def _bullet(name: str, guard: GuardLine) -> Bullet:
    measured, limit = (guard.measured or 0) + max((guard.recent or {}).values(), default=0), guard.limit
    # The mark stands well inside, so that what goes over it is seen to.
    scale = max(measured, limit or 0) * (1.0 if measured > (limit or 0) else 1.25) or 1
    side = "at least" if name in _AT_LEAST else "at most"
    counted = recent_words(guard)
    words = f"{counted}, no limit" if limit is None else f"{counted}, {side} {limit:,}"
    base = "" if guard.base is None else f" (of {guard.base:,})"
    mark = None if limit is None else 100 * limit / scale
    return Bullet(name, guard.verdict, words + base, guard.release, guard.because, 100 * measured / scale, mark)


def trend(points: Sequence[Point]) -> Trend:
    """Give the last runs, the newest at the right end."""
    shown = points[-RUNS:]
    most_drift = max((point.drift or 0 for point in shown), default=0)
    most_made = max((point.made + point.failed for point in shown), default=0)

    def percent(number: int, most: int) -> float:
        # What is little is still seen to be there.
        return max(100 * number / most, 3.0) if number else 0.0

    columns = tuple(
        Column(
            point,
            RUNS - len(shown) + at,
            None if point.drift is None else percent(point.drift, most_drift),
            percent(point.made, most_made),
            percent(point.failed, most_made),
        )
        for at, point in enumerate(shown)
    )
    return Trend(columns, most_drift, most_made)


def spending(usage: Usage | None) -> tuple[Spending, ...]:
    """Give the rate groups over time."""
    return tuple(_spending(group, usage) for group, sent in usage.sent.items() if any(sent)) if usage else ()


def _spending(group: str, usage: Usage) -> Spending:
    rates = [60 * number / usage.bucket_s for number in usage.sent[group]]
    allowed, peak = usage.allowed.get(group, 0.0), max(rates)
    scale = 1.15 * max(allowed, peak)
    steps = "".join(f"V{100 - 100 * rate / scale:.1f}H{at}" for at, rate in enumerate(rates, start=1))
    mark = 100 - 100 * allowed / scale
    return Spending(group, f"M0 100{steps}V100Z", len(rates), mark, allowed, peak, sum(usage.sent[group]))


def costs(report: Report) -> tuple[Cost, ...]:
    """Set beside each other what applying was forecast to take and what it took."""
    if report.forecast is None or not report.plan.total:
        return ()
    requests, seconds = report.spent or (None, None)
    return (
        _cost("requests", report.forecast["requests"], requests),
        _cost("seconds", report.forecast["seconds"], seconds),
    )


def _cost(unit: str, foretold: float, fact: float | None) -> Cost:
    most = max(foretold, fact or 0) or 1
    return Cost(unit, foretold, fact, 100 * foretold / most, None if fact is None else 100 * fact / most)
