"""
Read from MariaDB and MySQL: one read-only transaction, rows as they come, every value as the server writes it.

The server would take any statement here, one that ends the transaction too. So what is no query is not sent.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import encoders
from pymysql.cursors import SSCursor
from sqlalchemy.dialects.mysql.pymysql import dialect
from sqlalchemy.exc import ArgumentError

from reconcile.core.normal import json_text
from reconcile.sources.cursor import BATCH, CONNECT_S, Ask, Stream
from reconcile.sources.values import Write, moment

__all__ = ["open_mysql"]

Connection: TypeAlias = "pymysql.Connection[SSCursor]"

_GRACE_S = 0.5  # the server strikes first; the socket is for a server that does not
# Comments before the first word; those with a ! are no comments to the server.
_FIRST_WORD = re.compile(r"(?:\s|\(|#[^\n]*\n|--\s[^\n]*\n|--\n|/\*(?!M?!).*?\*/)*([A-Za-z]*)", re.DOTALL)
_QUERIES = {"select", "with", "values", "table"}
# No name of a column is worth the risk to tell these from the words that write a file on the server.
_WRITES_FILE = re.compile(r"(?i)\b(outfile|dumpfile)\b")
_NAMES = """
select table_name from information_schema.tables where table_schema = database()
union select column_name from information_schema.columns where table_schema = database()
"""


@contextmanager
def open_mysql(ask: Ask) -> Iterator[Stream]:
    """Begin the read. Raises: SourceError, also while rows are fetched."""
    statement = ask.statement("`", "%(since)s", "%%")
    _check_reads(ask, statement)
    try:
        connection = _connect(ask)
        cursor = connection.cursor(SSCursor)
        try:
            as_of = _begin(ask, connection)
            cursor.execute(statement, ask.parameters)
            columns: Sequence[Any] = cursor.description or ()

            def fetch() -> Sequence[tuple[Any, ...]]:
                ask.check_time()
                return cursor.fetchmany(BATCH)

            names = tuple(column[0] for column in columns)
            yield Stream(names, tuple(_WRITERS.get(int(column[1])) for column in columns), fetch, as_of)
        finally:
            _drop(connection, cursor)
    except pymysql.Error as error:
        raise ask.refusal(_words(error), lambda: _names(ask)) from None


def _check_reads(ask: Ask, statement: str) -> None:
    first = _FIRST_WORD.match(statement)
    if first is None or first[1].lower() not in _QUERIES or _WRITES_FILE.search(statement):
        raise ask.refusal("the query has to begin with SELECT or WITH, and to write no file")


def _connect(ask: Ask) -> Connection:
    _, options = dialect().create_connect_args(ask.url)
    if "password" in options:
        # The driver would send it in Latin-1, and the server has it in UTF-8.
        options["password"] = options["password"].encode()
    limit_s = ask.deadline.limit_s
    ours = {
        "conv": dict(encoders),  # and no decoders: values stay the text that the server sent
        "cursorclass": SSCursor,
        "client_flag": 0,  # of one statement each
        "local_infile": False,
        "autocommit": False,
        "read_timeout": limit_s and limit_s + _GRACE_S,
    }
    try:
        return pymysql.connect(**{"connect_timeout": CONNECT_S, "charset": "utf8mb4", **options, **ours})
    except (TypeError, ValueError) as error:
        raise ArgumentError(str(error)) from None


def _begin(ask: Ask, connection: Connection) -> int:
    limit_s = ask.deadline.left_s
    with connection.cursor() as cursor:
        if limit_s is not None:
            is_mariadb = "mariadb" in str(cast("Any", connection).server_version).lower()
            limit = (
                f"max_statement_time = {limit_s:.3f}"
                if is_mariadb
                else f"max_execution_time = {limit_s * 1000:.0f}"
            )
            cursor.execute(f"set session {limit}")
        cursor.execute("set session transaction read only")
        cursor.execute("start transaction read only")
        cursor.execute("select unix_timestamp()")
        ((now,),) = cursor.fetchall()
    return int(now)


def _drop(connection: Connection, cursor: SSCursor) -> None:
    """Leave without reading the rest: the driver would fetch all of a result before it lets go of it."""
    if connection.open:
        connection.close()
    # There is no public way to say so.
    for holder in cast("tuple[Any, Any]", (cursor, connection)):
        if holder._result is not None:
            holder._result.unbuffered_active = False
    cast("Any", cursor).connection = None


def _bits(value: bytes) -> str:
    return str(int.from_bytes(value, "big"))


def _date(text: str) -> str | None:
    # What MySQL has for no date at all.
    return None if text.startswith("0000-00-00") else moment(text)


_WRITERS: dict[int, Write] = {
    FIELD_TYPE.BIT: _bits,
    FIELD_TYPE.DATE: _date,
    FIELD_TYPE.DATETIME: _date,
    FIELD_TYPE.TIMESTAMP: _date,
    FIELD_TYPE.JSON: json_text,
}


def _words(error: pymysql.Error) -> str:
    text = str(error.args[-1]) if error.args else ""
    return (text.strip() or type(error).__name__).splitlines()[0]


def _names(ask: Ask) -> Sequence[str]:
    try:
        connection = _connect(ask)
    except pymysql.Error:
        return ()
    try:
        with connection.cursor() as cursor:
            cursor.execute(_NAMES)
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()
