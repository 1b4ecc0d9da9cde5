"""
Read an export from a database: read-only, by a cursor, in bounded batches.

A connection that is lost half-way is a failed read, never a short one. How each database is read stands in
a module of its own.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pyarrow as pa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from reconcile.core.frame import SOURCE_ROW
from reconcile.core.mapping import Mapping
from reconcile.core.normal import json_text
from reconcile.core.watermark import Highest
from reconcile.errors import SettingsError, SourceError
from reconcile.logs import remember_secret
from reconcile.proposal import Sample
from reconcile.settings import Source
from reconcile.sources import Choose, Export, OnRows, Rows
from reconcile.sources.columns import check_columns
from reconcile.sources.cursor import Ask, Open, Stream
from reconcile.sources.values import Write

__all__ = ["bears_secret", "read_sql", "sample_sql", "tables_query"]

# By the name that a URL begins with; a driver that it names after a + is as good as ours.
_MODULES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_TABLES = {
    "postgresql": (
        "select case when table_schema = current_schema() then '' else table_schema || '.' end || table_name"
        " from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema') order by 1"
    ),
    "mysql": "select table_name from information_schema.tables where table_schema = database() order by 1",
    "sqlite": "select name from sqlite_master where type in ('table', 'view') and name not like 'sqlite_%' order by 1",
}
# A shorter one may be part of any word; it is taken out of what a database says, and of nothing else.
_TELLING = 8
_CUT = re.compile(r"[@/?#]")  # where a URL would be cut
_PORT = re.compile(r"\d*/")
_SMALL = 50  # batches to a piece: thousands of small ones would tear the memory to shreds


def read_sql(
    source: Source, choose: Choose, now_unix_s: float, on_rows: OnRows, into: Rows, since: str | None = None
) -> Export:
    """
    Read the query or the table, or its part from `since` on; `source_row` counts its rows from 1.

    Raises: SourceError; SettingsError where a part is asked of a database that is not known.
    """
    with _opened(source, since) as (ask, stream):
        mapping = choose(stream.columns)
        check_columns(source.shown, stream.columns, mapping, since=source.since.column)
        as_of = int(now_unix_s) if stream.as_of_unix_s is None else stream.as_of_unix_s
        highest = Highest(as_of, has_types=stream.has_types, since=since)
        _read(ask, stream, mapping, highest, into, on_rows)
    notes = tuple(_mark_notes(ask, highest))
    return Export(into.joined(), mapping, stream.columns, (), None, as_of, notes, highest.mark)


def sample_sql(source: Source, count: int) -> Sample:
    """Read the columns and at most `count` rows of the query or the table. Raises: SourceError."""
    with _opened(source) as (ask, stream):
        rows = stream.fetch()[:count]
        cells = [
            _texts(ask, name, [row[at] for row in rows], stream.writers[at]).to_pylist()
            for at, name in enumerate(stream.columns)
        ]
    return Sample(stream.columns, tuple(zip(*cells, strict=True)))


def tables_query(source: Source) -> str:
    """Give the query that names the tables of a database; empty where its kind is unknown. Raises: SourceError."""
    return _TABLES.get(_MODULES.get(_url(source).get_backend_name(), ""), "")


def bears_secret(source: Source) -> bool:
    """Whether the URL holds what may not stand in a file; one that cannot be read may."""
    try:
        return any(Ask.of(source, _url(source)).secrets())
    except SourceError:
        return True


@contextmanager
def _opened(source: Source, since: str | None = None) -> Iterator[tuple[Ask, Stream]]:
    """Begin a read, and remember what nobody is to see of the URL. Raises: SourceError."""
    ask = Ask.of(source, _url(source), since)
    for secret in ask.secrets():
        if len(secret.reveal()) >= _TELLING:
            remember_secret(secret)
    try:
        with _opener(ask)(ask) as stream:
            if not stream.columns:
                raise SourceError(f"{source.shown}: the query gives no columns", hint="select the mapped columns")
            yield ask, stream
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise _unusable(ask, error) from None


def _url(source: Source) -> URL:
    account = source.location.partition("://")[2].rpartition("@")[0]
    password = account.partition(":")[2]
    if _CUT.search(password) and not _PORT.match(password) and not _CUT.search(account.partition(":")[0]):
        # Read as it stands, a piece of the password would be taken for a host, and named in an error.
        raise SourceError(
            f"{source.shown} is not a database URL: its password is not quoted for one",
            hint="in the password write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A and % as %25",
        )
    try:
        return make_url(source.location)
    except ValueError:
        raise SourceError(
            f"{source.shown} is not a database URL: its port is not a number",
            hint="quote a : in the password as %3A",
        ) from None
    except ArgumentError:
        raise SourceError(
            f"{source.shown} is not a database URL that can be used", hint="for example sqlite:///users.db"
        ) from None


def _opener(ask: Ask) -> Open:
    # Drivers are loaded for their own database only.
    name = _MODULES.get(ask.url.get_backend_name(), "otherwise")
    if name == "otherwise" and ask.since is not None:
        raise SettingsError(
            "--since is for PostgreSQL, MariaDB, MySQL and SQLite", hint="leave the flag out: read everything"
        )
    opener: Open = getattr(import_module(f"reconcile.sources.{name}"), f"open_{name}")
    return opener


def _unusable(ask: Ask, error: Exception) -> SourceError:
    if isinstance(error, ModuleNotFoundError):
        return SourceError(f"the database driver {error.name} is not installed", hint=f"pip install {error.name}")
    said = ask.refusal(str(error).splitlines()[0]).message.partition(": ")[2]
    return SourceError(
        f"{ask.source.shown} is not a database URL that can be used: {said}", hint="for example sqlite:///users.db"
    )


def _read(ask: Ask, stream: Stream, mapping: Mapping, highest: Highest, into: Rows, on_rows: OnRows) -> None:
    """Read the mapped columns as text, and show `highest` the column by which changes are known."""
    mark_at = stream.columns.index(ask.source.since.column) if ask.source.since.column else None
    at = {name: stream.columns.index(name) for name in mapping.columns}
    labels = {name: mapping.label(name, is_json=stream.writers[i] is json_text) for name, i in at.items()}
    writers = {name: stream.writers[i] if labels[name] == name else None for name, i in at.items()}
    pieces: dict[str, list[pa.Array]] = {label: [pa.array([], pa.string())] for label in labels.values()}
    into.add(_piece(pieces, 1))
    read = taken = 0
    while rows := stream.fetch():
        for name, i in at.items():
            pieces[labels[name]].append(_texts(ask, name, [row[i] for row in rows], writers[name]))
        read += len(rows)
        if len(next(iter(pieces.values()))) == _SMALL:
            into.add(_piece(pieces, taken + 1))
            taken = read
        if mark_at is not None:
            highest.add(_marks(stream, mark_at, rows))
        on_rows(len(rows))
    if taken < read:
        into.add(_piece(pieces, taken + 1))


def _piece(pieces: dict[str, list[pa.Array]], first_row: int) -> pa.Table:
    """Put the pieces of each column together, numbered; the lists are emptied."""
    columns = {name: pa.concat_arrays(parts) for name, parts in pieces.items()}
    for parts in pieces.values():
        parts.clear()
    rows = len(next(iter(columns.values())))
    return pa.table({**columns, SOURCE_ROW: pa.array(range(first_row, first_row + rows), pa.int64())})


def _marks(stream: Stream, at: int, rows: Sequence[Sequence[Any]]) -> Iterator[Any]:
    write = None if stream.has_types else stream.writers[at]
    for row in rows:
        value = row[at]
        value = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        yield value if value is None or write is None else write(value)


def _mark_notes(ask: Ask, highest: Highest) -> Iterator[str]:
    """Say which rows no run can know by their column. Raises: SourceError where their order cannot be told."""
    column = ask.source.since.column
    if len(highest.forms) > 1:
        raise SourceError(
            f"{ask.source.shown}: the column of source.since, {column!r}, has values of more than one form, "
            f"such as {' and '.join(highest.forms[:2])}",
            hint="have the query write all of them alike",
        )
    if highest.without:
        yield f"{highest.without} rows have neither a time nor a number in {column}: --since never reads them"
    if highest.ahead:
        yield f"{highest.ahead} rows have a time to come in {column}: --since reads them every time, and they move no mark"


def _texts(ask: Ask, name: str, values: Sequence[Any], write: Write | None) -> pa.Array:
    try:
        if write is not None:
            values = [value if value is None else write(value) for value in values]
        return pa.array(values, pa.string())
    except (UnicodeError, pa.ArrowInvalid):
        raise SourceError(
            f"{ask.source.shown}: the column {name!r} holds bytes that are not UTF-8",
            hint="turn them into text in the query, for example with hex() or encode()",
        ) from None
