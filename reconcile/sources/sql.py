"""
Read an export from a database: read-only, by a cursor, in bounded batches.

A connection that is lost half-way is a failed read, never a short one.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy import Connection, CursorResult, Engine, column, create_engine, event, select, table, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from reconcile.core.frame import SOURCE_ROW, as_frame
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import Choose, Export
from reconcile.sources.columns import check_columns
from reconcile.sources.values import as_text

__all__ = ["read_sql"]

# Asked for by size: without one the library fetches a million rows at once, whatever it was told before.
_BATCH = 10_000


def read_sql(source: Source, choose: Choose, now_unix_s: float) -> Export:
    """Read the query or the table; `source_row` counts its rows from 1. Raises: SourceError."""
    try:
        with _connection(source) as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=_BATCH)
            result: CursorResult[Any] = streaming.execute(_statement(source))
            columns = tuple(result.keys())
            mapping = choose(columns)
            check_columns(source.shown, columns, mapping)
            at = [columns.index(name) for name in mapping.columns]
            parts = [
                pa.table(
                    {
                        name: pa.array([as_text(row[i]) for row in rows], pa.string())
                        for name, i in zip(mapping.columns, at, strict=True)
                    }
                )
                for rows in result.partitions(_BATCH)
            ]
    except SQLAlchemyError as error:
        raise SourceError(
            f"{source.shown} cannot be read: {_words(error)}", hint="check the URL, the query and the rights"
        ) from None
    except UnicodeDecodeError:
        raise SourceError(
            f"{source.shown} holds bytes that are not UTF-8", hint="cast the column to text"
        ) from None
    empty = pa.table({name: pa.array([], pa.string()) for name in mapping.columns})
    whole = pa.concat_tables([empty, *parts]).combine_chunks()
    rows_of = {name: whole[name] for name in mapping.columns}
    frame = as_frame({**rows_of, SOURCE_ROW: pa.array(range(1, len(whole) + 1), pa.int64())})
    return Export(frame, mapping, columns, (), None, int(now_unix_s))


def _statement(source: Source) -> "text | select":  # type: ignore[valid-type]
    if source.query:
        # A colon is the query's own: it has no parameters that one could name.
        return text(source.query.replace(":", r"\:"))
    schema, _, name = source.table.rpartition(".")
    return select(text("*")).select_from(table(name, column("*"), schema=schema or None))


@contextmanager
def _connection(source: Source) -> Iterator[Connection]:
    engine = _engine(source)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _engine(source: Source) -> Engine:
    try:
        url = make_url(source.location)
        engine = create_engine(_read_only(url))
    except ValueError:
        raise SourceError(
            f"{source.shown} is not a database URL: its port is not a number",
            hint="quote a : in the password as %3A",
        ) from None
    except (ArgumentError, NoSuchModuleError) as error:
        raise SourceError(
            f"{source.shown} is not a database URL that can be used: {_words(error)}",
            hint="for example sqlite:///users.db",
        ) from None
    except ModuleNotFoundError as error:
        raise SourceError(
            f"the database driver {error.name} is not installed", hint=f"pip install {error.name}"
        ) from None
    event.listen(engine, "connect", _WRITES_FORBIDDEN_BY.get(url.get_backend_name(), lambda *_: None))
    return engine


def _read_only(url: URL) -> URL:
    """SQLite creates a file that is missing, unless it is opened by a URI that forbids it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return url
    path = url.database
    return url.set(database=path if path.startswith("file:") else f"file:{quote(path)}").update_query_dict(
        {"mode": "ro", "uri": "true"}
    )


def _only_reads(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")
    # Opened for reading alone, it could still attach another file, and make it by that.
    attach, deny, allow = sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DENY, sqlite3.SQLITE_OK
    connection.set_authorizer(lambda action, *_: deny if action == attach else allow)


def _session_reads(statement: str) -> Callable[[Any, object], None]:
    def listener(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement)
        connection.commit()

    return listener


_WRITES_FORBIDDEN_BY: dict[str, Callable[[Any, object], None]] = {
    "sqlite": _only_reads,
    "postgresql": _session_reads("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"),
    "mysql": _session_reads("SET SESSION TRANSACTION READ ONLY"),
    "mariadb": _session_reads("SET SESSION TRANSACTION READ ONLY"),
}


def _words(error: Exception) -> str:
    """The first line of an error, without the statement and its parameters."""
    origin = getattr(error, "orig", None) or error
    return str(origin).splitlines()[0][:200] if str(origin) else type(origin).__name__
