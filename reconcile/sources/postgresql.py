"""
Read from PostgreSQL: one read-only transaction, a cursor on the server, every value as the server writes it.

The server's own text is taken for each type, so nothing is lost on the way through a Python type: a date
before Christ, `infinity`, the digits of a number in JSON.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy.dialects.postgresql.psycopg import dialect

from reconcile.core.normal import json_text
from reconcile.sources.cursor import BATCH, CONNECT_S, Ask, Stream
from reconcile.sources.values import Write, instant, moment, quoted

__all__ = ["open_postgresql"]

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECTION = {
    "application_name": "reconcile",
    "client_encoding": "utf8",
    "connect_timeout": CONNECT_S,
    # Without these a connection that a firewall forgot is waited for until the next day.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_RENEW_S = 0.25  # how exact the time-out is; renewing it costs a round trip
# The form of what is written is ours; how the query's own dates and times are read stays the server's.
_BEGIN = """
select set_config('DateStyle', 'ISO', true), set_config('bytea_output', 'hex', true),
  floor(extract(epoch from now()))::bigint
"""
_TYPES = """
select t.oid::bigint, coalesce(e.typname, t.typname), e.oid is not null
from pg_type t left join pg_type e on e.oid = t.typelem and t.typcategory = 'A' where t.oid = any(%s)
"""
_NAMES = """
select table_name from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema')
union select column_name from information_schema.columns
where table_schema not in ('pg_catalog', 'information_schema')
"""


@contextmanager
def open_postgresql(ask: Ask) -> Iterator[Stream]:
    """Begin the read. Raises: SourceError, also while rows are fetched."""
    connection: Connection | None = None
    try:
        connection = _connect(ask)
        with closing(connection):
            timer = _Timer(ask, connection)
            timer.renew()
            ((_, _, as_of),) = connection.execute(_BEGIN).fetchall()
            # A cursor that is declared takes one statement, and none but a query.
            with connection.cursor("reconcile") as cursor:
                _as_written(cursor)
                cursor.execute(ask.statement('"', "%(since)s", "%%").encode(), ask.parameters)
                columns = cursor.description or []
                writers = _writers(connection, [column.type_code for column in columns])

                def fetch() -> Sequence[tuple[Any, ...]]:
                    timer.renew()
                    return cursor.fetchmany(BATCH)

                yield Stream(tuple(column.name for column in columns), writers, fetch, as_of)
    except psycopg.Error as error:
        raise ask.refusal(_words(error), lambda: _names(ask)) from None


def _connect(ask: Ask) -> Connection:
    _, options = dialect().create_connect_args(ask.url)  # type: ignore[no-untyped-call]
    connection = psycopg.connect(**{**_CONNECTION, **options})
    connection.read_only = True
    return connection


class _Timer:
    """Keeps the server's limit for a statement at what is left of the time."""

    def __init__(self, ask: Ask, connection: Connection) -> None:
        self._ask = ask
        self._connection = connection
        self._set: float | None = None

    def renew(self) -> None:
        self._ask.check_time()
        left = self._ask.deadline.left_s
        if left is None or (self._set is not None and self._set - left < _RENEW_S):
            return
        limit_ms = max(1, int(left * 1000))
        self._connection.execute("select set_config('statement_timeout', %s, true)", [str(limit_ms)])
        self._set = left


def _as_written(cursor: psycopg.ServerCursor[Any]) -> None:
    for known in psycopg.adapters.types:
        for oid in (known.oid, known.array_oid):
            if oid:
                cursor.adapters.register_loader(oid, TextLoader)


def _writers(connection: Connection, oids: list[int]) -> tuple[Write | None, ...]:
    found = connection.execute(_TYPES, [list(set(oids))]).fetchall()
    kinds = {oid: (name, is_array) for oid, name, is_array in found}
    return tuple(_writer(*kinds.get(oid, ("text", False))) for oid in oids)


def _writer(kind: str, is_array: bool) -> Write | None:  # noqa: FBT001 - a fact of the type
    if not is_array:
        return _SCALARS.get(kind)
    if kind in _NUMBERS:
        return lambda text: _array(text, _number)
    if kind in {"json", "jsonb"}:
        return lambda text: _array(text, str)
    if kind == "bool":
        return lambda text: _array(text, _boolean)
    write = _SCALARS.get(kind) or str
    return lambda text: _array(text, lambda element: quoted(write(element) or ""))


_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)|[{}]', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _array(text: str, write: Write) -> str:
    """Give an array as JSON."""

    def written(part: re.Match[str]) -> str:
        if part[1] is not None:
            return write(_ESCAPE.sub(r"\1", part[1])) or ""
        if part[2] is not None:
            return "null" if part[2] == "NULL" else write(part[2]) or ""
        return "[" if part[0] == "{" else "]"

    # An array whose bounds are not from 1 names them first. A vector of the catalogue has no braces at all.
    start = text.find("{")
    return _ELEMENT.sub(written, text[start:]) if start >= 0 else text


def _number(text: str) -> str:
    return "null" if text in {"NaN", "Infinity", "-Infinity"} else text


def _boolean(text: str) -> str:
    return "true" if text == "t" else "false"


def _bytes(text: str) -> str:
    return bytes.fromhex(text.removeprefix("\\x")).decode()


_NUMBERS = {"int2", "int4", "int8", "oid", "float4", "float8", "numeric"}
_SCALARS: dict[str, Write] = {
    "bool": _boolean,
    "bytea": _bytes,
    "json": json_text,
    "jsonb": json_text,
    "timestamp": moment,
    "timestamptz": instant,
}


def _words(error: psycopg.Error) -> str:
    text = str(error).strip()
    first = error.diag.message_primary or (text.splitlines()[0] if text else type(error).__name__)
    return f"{first} ({error.diag.message_hint})" if error.diag.message_hint else first


def _names(ask: Ask) -> Sequence[str]:
    try:
        with closing(_connect(ask)) as connection:
            return [name for (name,) in connection.execute(_NAMES)]
    except psycopg.Error:
        return ()
