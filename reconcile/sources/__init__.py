"""
Where the desired state is read from: one module a kind of source, one value for what was read.

A source that cannot be read whole is an error, never a short read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import pandas as pd
import pyarrow as pa

from reconcile.core.frame import Quarantined, joined
from reconcile.core.mapping import Mapping
from reconcile.core.skew import Moment
from reconcile.errors import SourceError
from reconcile.settings import Source

__all__ = ["Choose", "Export", "OnRows", "Rows", "moment_of", "read_export"]

Choose = Callable[[tuple[str, ...]], Mapping]
OnRows = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Export:
    """
    An export as it was read: raw cells as Arrow text in the mapping's columns, and `source_row`.

    `source_row` is the physical line for text files and the row number (from 1) elsewhere; `ragged` are the
    rows that have no cells because their width is wrong. `as_of_unix_s` is when the export was true; `mark` the
    largest value of the column of `source.since`, as the source writes it.
    """

    frame: pd.DataFrame
    mapping: Mapping
    columns: tuple[str, ...]
    ragged: tuple[Quarantined, ...]
    sha256: str | None
    as_of_unix_s: int
    notes: tuple[str, ...] = ()
    mark: str | None = None


class Rows:
    """
    Where a reader puts the rows of an export, piece by piece: here they wait in memory for the end.

    `mapping` says what is made of them; it is there before the first of them.
    """

    mapping: Mapping

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []

    def add(self, part: pa.Table) -> None:
        """Take in the next rows: the mapping's columns as text, and `source_row`. The first piece is an empty one."""
        self._parts.append(part)

    def joined(self) -> pd.DataFrame:
        """Give what is here as one frame; once."""
        return joined(self._parts)


def read_export(
    source: Source,
    choose: Choose,
    now_unix_s: float,
    since: str | None = None,
    *,
    on_rows: OnRows = lambda _rows: None,
    rows: Rows | None = None,
) -> Export:
    """
    Read the whole export, or what a database has from `since` on.

    `choose` makes the mapping once the columns are known; `on_rows` is told of every piece that was read, and
    `rows` gets it: the frame of the export is what `rows` gives in the end.
    Raises: SourceError when it cannot be read whole; SettingsError from `choose`.
    """
    as_of = _as_of(source)
    rows = rows or Rows()

    def chosen(columns: tuple[str, ...]) -> Mapping:
        rows.mapping = choose(columns)
        return rows.mapping

    if source.is_database:
        from reconcile.sources.sql import read_sql  # noqa: PLC0415 - SQLAlchemy only where it is asked for

        export = read_sql(source, chosen, now_unix_s, on_rows, rows, since)
    else:
        from reconcile.sources.files import read_file  # noqa: PLC0415 - as above, for the file formats

        export = read_file(source, chosen, now_unix_s, on_rows, rows)
    return export if as_of is None else replace(export, as_of_unix_s=as_of)


def moment_of(source: Source, export: Export, began_unix_s: float) -> Moment:
    """Say when an export was true, and by which clock; `began_unix_s` is when its read began by this machine's."""
    # A database has a clock of its own, which nothing compares with CometChat's: its read began now, by ours.
    is_now = (source.is_database or source.location == "-") and not source.as_of
    then = int(began_unix_s) if is_now else export.as_of_unix_s
    return Moment(then, began_unix_s, is_given=bool(source.as_of), is_now=is_now)


def _as_of(source: Source) -> int | None:
    if not source.as_of:
        return None
    try:
        moment = datetime.fromisoformat(source.as_of)
    except ValueError:
        raise SourceError(
            f"source.as_of is not a time: {source.as_of!r}", hint="for example 2026-11-23T02:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise SourceError("source.as_of has no time zone", hint="add one, for example Z or +01:00")
    return int(moment.timestamp())
