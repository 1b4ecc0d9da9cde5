"""Read from SQLite: a file that is opened to be read, and a connection that can do nothing else."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy.dialects.sqlite.pysqlite import dialect
from sqlalchemy.engine import URL

from reconcile.errors import ExitCode, Interrupted
from reconcile.sources.cursor import BATCH, Ask, Stream
from reconcile.sources.values import as_text

__all__ = ["open_sqlite"]

_STEPS = 10_000  # of SQLite's machine between two looks at the clock: about a tenth of a millisecond
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_NAMES = "select name from sqlite_master union select c.name from sqlite_master m, pragma_table_info(m.name) c"


@contextmanager
def open_sqlite(ask: Ask) -> Iterator[Stream]:
    """Begin the read. Raises: SourceError, also while rows are fetched."""
    connection = _connect(ask)
    with closing(connection):
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.set_progress_handler(lambda: ask.deadline.is_over, _STEPS)
            connection.set_authorizer(_allow)
            cursor = connection.execute(ask.statement('"'), _bindable(ask))
            columns = tuple(column[0] for column in cursor.description or ())

            def fetch() -> Sequence[tuple[Any, ...]]:
                ask.check_time()
                return cursor.fetchmany(BATCH)

            yield Stream(columns, (as_text,) * len(columns), fetch, has_types=True)
        except (sqlite3.Error, sqlite3.Warning) as error:
            if _words(error) == "interrupted" and not ask.deadline.is_over:
                # What a signal raises while SQLite calls back into Python does not come through it.
                raise Interrupted(ExitCode.SIGINT) from None
            raise ask.refusal(_words(error), lambda: _names(connection)) from None


def _bindable(ask: Ask) -> dict[str, int | float | str]:
    values = ask.parameters or {}
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _connect(ask: Ask) -> sqlite3.Connection:
    (path,), options = cast("tuple[list[str], dict[str, Any]]", dialect().create_connect_args(_read_only(ask.url)))
    try:
        connection: sqlite3.Connection = sqlite3.connect(path, **options)
    except sqlite3.Error as error:
        raise ask.refusal(_words(error)) from None
    return connection


def _read_only(url: URL) -> URL:
    """SQLite creates a file that is missing, unless it is opened by a URI that forbids it."""
    if not url.database or url.database == ":memory:":
        return url
    path = url.database
    return url.set(database=path if path.startswith("file:") else f"file:{quote(path)}").update_query_dict(
        {"mode": "ro", "uri": "true"}
    )


def _allow(action: int, first: str | None, second: str | None, *_: object) -> int:
    """Only what reads: a file opened for reading could still attach another one, and make it by that."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() != "load_extension"
    elif action == sqlite3.SQLITE_UPDATE:
        # How SQLite declares what json_each gives; nobody can change that table, and not in this file.
        allowed = first == "sqlite_master"
    else:
        allowed = action in _READS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _names(connection: sqlite3.Connection) -> Sequence[str]:
    connection.set_authorizer(None)
    return [str(name) for (name,) in connection.execute(_NAMES)]
