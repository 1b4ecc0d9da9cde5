"""
The limits that keep a whole source out: an export that does not look like the one before it is not believed.

Every check is made, so that a refusal names all that is wrong at once.
"""

import math
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from reconcile.core.baseline import Baseline, Sketch
from reconcile.core.guards import GuardVerdict
from reconcile.core.sketch import changed_since

__all__ = [
    "CLOCK_SLACK_S",
    "Shape",
    "SourceLimits",
    "judge_checksum",
    "judge_clocks",
    "judge_history",
    "judge_quarantine",
    "judge_source",
]

CLOCK_SLACK_S = 300  # what two machines' clocks may differ by before it means something
_SHOWN = 5


class Shape(msgspec.Struct, frozen=True):
    """What a source looks like. `empty` is the share (0..1) of empty cells by managed field."""

    rows: int
    as_of_unix_s: int
    columns: tuple[str, ...] = ()
    empty: dict[str, float] = {}
    sketch: Sketch | None = None


class SourceLimits(msgspec.Struct, frozen=True):
    """What a source has to be like to be believed. Units: rows, percent, uids."""

    min_rows: int
    max_shrink_percent: float
    sentinels: tuple[str, ...] = ()
    expect_rows: int | None = None
    max_emptied: tuple[float, int] = (20, 20)
    max_changed: tuple[float, int] = (50, 1000)


def judge_source(
    shape: Shape, limits: SourceLimits, *, present: Container[str], now_unix_s: int
) -> tuple[GuardVerdict, ...]:
    """Judge a source by what it holds. `present` are its folded uids."""
    return tuple(_by_itself(shape, limits, present, now_unix_s))


def judge_history(shape: Shape, limits: SourceLimits, good: Sequence[Baseline]) -> tuple[GuardVerdict, ...]:
    """Judge a source by the good runs before it, newest first; nothing to say where there was none."""
    if not good:
        return ()
    return tuple(_beside(shape, limits, good))


def judge_clocks(as_of_unix_s: int, good: Sequence[Baseline], *, now_unix_s: int) -> tuple[GuardVerdict, ...]:
    """Judge a part of a source: of all that is known of the whole it can only be too early or too late."""
    return (_ahead(as_of_unix_s, now_unix_s), *_behind(as_of_unix_s, good))


def judge_checksum(actual: str | None, promised: str | None, file: str) -> GuardVerdict:
    """Judge a source by the hash that stands in a file beside it; `promised` None is "not readable"."""
    because = f"{file} promises {promised}, and the export has {actual}"
    if promised is None:
        because = f"{file} does not hold one line as sha256sum writes it"
    agrees = promised is not None and promised == actual
    return _verdict("sha256", int(agrees), None, 1, is_held=not agrees, because=because)


def judge_quarantine(quarantined: int, rows: int, percent: float, floor: int, reasons: str) -> GuardVerdict:
    """Judge the share of rows that cannot be trusted, for these reasons; held when over both numbers."""
    limit = max(floor, int(rows * percent / 100))
    because = f"{quarantined} of {rows} rows are quarantined; the limit is {limit}; {reasons}"
    return _verdict("max_quarantined", quarantined, rows, limit, is_held=quarantined > limit, because=because)


def _by_itself(
    shape: Shape, limits: SourceLimits, present: Container[str], now_unix_s: int
) -> Iterator[GuardVerdict]:
    rows, least = shape.rows, limits.min_rows
    because = f"{rows} rows where at least {least} were expected"
    yield _verdict("min_rows", rows, None, least, is_held=rows < least, because=because)
    if limits.expect_rows is not None:
        because = f"{rows} rows where {limits.expect_rows} were promised"
        is_held = rows != limits.expect_rows
        yield _verdict("expect_rows", rows, None, limits.expect_rows, is_held=is_held, because=because)
    if limits.sentinels:
        missing = [uid for uid in limits.sentinels if uid.strip().lower() not in present]
        known = len(limits.sentinels)
        because = f"missing from the source: {_listed(missing)}"
        yield _verdict("sentinels", known - len(missing), None, known, is_held=bool(missing), because=because)
    yield _ahead(shape.as_of_unix_s, now_unix_s)


def _ahead(as_of_unix_s: int, now_unix_s: int) -> GuardVerdict:
    ahead = as_of_unix_s - now_unix_s
    because = (
        f"it says that it was true at {_iso(as_of_unix_s)}, which is yet to come; "
        "look at the clocks here and where it was written, or at source.as_of"
    )
    return _verdict(
        "as_of_ahead", max(ahead, 0), None, CLOCK_SLACK_S, is_held=ahead > CLOCK_SLACK_S, because=because
    )


def _beside(shape: Shape, limits: SourceLimits, good: Sequence[Baseline]) -> Iterator[GuardVerdict]:
    largest = max(good, key=lambda baseline: baseline.rows)
    floor = math.ceil(largest.rows * (100 - limits.max_shrink_percent) / 100)
    which = "" if largest is good[0] else f", the most of the last {len(good)} exports"
    because = (
        f"{shape.rows} rows; run {largest.run_id} had {largest.rows}{which}, so at least {floor} were expected"
    )
    is_held = shape.rows < floor
    yield _verdict("max_shrink_percent", shape.rows, largest.rows, floor, is_held=is_held, because=because)
    yield _judge_emptied(shape, limits, good)
    yield from _judge_changed(shape, limits, good[0])
    yield from _behind(shape.as_of_unix_s, good)


def _behind(as_of_unix_s: int, good: Sequence[Baseline]) -> Iterator[GuardVerdict]:
    dated = [(baseline.as_of_unix_s, baseline.run_id) for baseline in good if baseline.as_of_unix_s is not None]
    if dated:
        newest, run_id = max(dated)
        behind = newest - as_of_unix_s
        because = (
            f"it is of {_iso(as_of_unix_s)}, older than the export of run {run_id}, which was of {_iso(newest)}"
        )
        is_held = behind > CLOCK_SLACK_S
        yield _verdict("as_of_behind", max(behind, 0), None, CLOCK_SLACK_S, is_held=is_held, because=because)


def _judge_emptied(shape: Shape, limits: SourceLimits, good: Sequence[Baseline]) -> GuardVerdict:
    """Hold a source whose cells of one field are empty now and were filled in a good run."""
    percent, floor = limits.max_emptied
    limit = max(floor, int(shape.rows * percent / 100))
    worst, over = 0, []
    for field, share in shape.empty.items():
        before = [(baseline.empty[field], baseline.run_id) for baseline in good if field in baseline.empty]
        if not before:
            continue
        least, run_id = min(before)
        emptied = round((share - least) * shape.rows)
        worst = max(worst, emptied)
        if emptied > limit:
            over.append(f"{field} is empty in {share:.0%} of the rows; in run {run_id} it was in {least:.0%}")
    because = f"{_listed(over)}; more than {limit} rows lost it"
    return _verdict("max_emptied", worst, shape.rows, limit, is_held=bool(over), because=because)


def _judge_changed(shape: Shape, limits: SourceLimits, last: Baseline) -> Iterator[GuardVerdict]:
    """Hold a source that has too few users as the last good run had them; one that lacks a user changed it."""
    if shape.sketch is None or last.sketch is None:
        return
    changed = changed_since(last.sketch, shape.sketch)
    if changed is None:
        return
    percent, floor = limits.max_changed
    users, measured = last.sketch.users, changed.other + changed.gone
    limit = max(floor, int(users * percent / 100))
    because = (
        f"of {users} users in run {last.run_id}, {changed.other} have other values and {changed.gone} are gone; "
        f"no more than {limit} in all were expected"
    )
    yield _verdict("max_changed", measured, users, limit, is_held=measured > limit, because=because)


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _iso(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


def _verdict(
    guard: str, measured: int, base: int | None, limit: int, *, is_held: bool, because: str
) -> GuardVerdict:
    release = "--accept-source, once, when you know why" if is_held else ""
    return GuardVerdict(
        guard, measured, base, limit, "held" if is_held else "pass", release, because if is_held else ""
    )
