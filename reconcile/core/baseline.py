"""
What good runs measured of their sources, and which of them the next source is held against.

A good run is one that believed its source and made a plan of it, and that neither a person nor an error
ended before its first write.
"""

from collections.abc import Iterable

import msgspec

from reconcile.core.guards import Bases

__all__ = ["WINDOW", "Baseline", "Sketch", "window"]

WINDOW = 7  # days with an export that are looked back on: a week of nights, so that small losses add up


class Sketch(msgspec.Struct, frozen=True):
    """
    A sample of the users of one export, who are `users` in all.

    `uids` are hashes of uids, ascending; `rows` the hash of the uid and the values of each; both of 64 bits,
    little-endian. `mapping` is the fingerprint of what made the values: others cannot be compared.
    """

    mapping: str
    users: int
    uids: bytes
    rows: bytes


class Baseline(msgspec.Struct, frozen=True):
    """
    What one good run measured: its source, and the directory where one was walked whole.

    `empty` is the share (0..1) of empty cells by managed field, `accepted` the guards that a person overruled
    for this source; `sketch` is kept of the last two only. `order` counts the good runs, because two of one second have ids in any order. State files of
    earlier versions know the first three only.
    """

    run_id: str
    rows: int
    bases: Bases | None = None
    as_of_unix_s: int | None = None
    sha256: str | None = None
    empty: dict[str, float] = {}
    columns: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    sketch: Sketch | None = None
    order: int = 0


def window(newest_first: Iterable[Baseline]) -> tuple[Baseline, ...]:
    """
    Give the baselines that count, newest first: one for each export of the last days that have one.

    An export that was planned several times counts once, and so do the queries of one day. Many exports of one day do not
    push out the days before: else small losses of each hour would pass. What a person accepted is the new measure:
    nothing before it counts.
    """
    found: list[Baseline] = []
    known: set[str] = set()
    days: set[str] = set()
    for baseline in newest_first:
        days.add(_day_of(baseline))
        if len(days) > WINDOW:
            break
        if _export_of(baseline) not in known:
            found.append(baseline)
        known.add(_export_of(baseline))
        if baseline.accepted:
            break
    return tuple(found)


def _export_of(baseline: Baseline) -> str:
    return _day_of(baseline) if baseline.sha256 is None else baseline.sha256


def _day_of(baseline: Baseline) -> str:
    return baseline.run_id if baseline.as_of_unix_s is None else str(baseline.as_of_unix_s // 86_400)
