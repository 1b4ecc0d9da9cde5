"""Promises about a database: what is read, and that nothing is ever written."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from reconcile.errors import SourceError
from tests.sources.builders import NOW, cells, read

ROWS: list[tuple[Any, Any]] = [("0012", "Kiwi"), (7, None), (2.0, 1.5), (None, b"Kiw\xc3\xad")]


def a_database(path: Path, rows: Iterable[tuple[Any, Any]] = ROWS) -> str:
    """A SQLite file with a table of users, as a URL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table users (id, name)")
        connection.executemany("insert into users values (?, ?)", rows)
        connection.commit()
    return f"sqlite:///{path}"


def refusal(url: str, **source: str) -> str:
    """Why a database is refused."""
    with pytest.raises(SourceError) as caught:
        read(url, **source)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_table_is_read_in_its_native_types(tmp_path: Path) -> None:
    """NULL is nothing, and rows count from one."""
    export = read(a_database(tmp_path / "users.db"), table="users")

    assert cells(export) == [(1, "0012", "Kiwi"), (2, "7", None), (3, "2", "1.5"), (4, None, "Kiwí")]
    assert (export.sha256, export.as_of_unix_s) == (None, NOW)


def test_a_table_may_be_named_with_its_schema(tmp_path: Path) -> None:
    """And its name is quoted where it has to be."""
    url = a_database(tmp_path / "users.db")
    with closing(sqlite3.connect(tmp_path / "users.db")) as connection:
        connection.execute('alter table users rename to "my users; --"')

    assert len(read(url, table="main.my users; --").frame) == 4


def test_a_query_is_read_as_it_is_written(tmp_path: Path) -> None:
    """A colon or a percent sign in it means nothing to us."""
    query = "select lower('KIWI') as id, ' :kiwi 100% 12:30' as name from users where id like '00%'"

    assert cells(read(a_database(tmp_path / "users.db"), query=query)) == [(1, "kiwi", " :kiwi 100% 12:30")]


@pytest.mark.parametrize(
    "query",
    [
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2) select i as id, 'x' as name from n",
        'select key + 1 as id, value as name from json_each(\'["x", "x"]\')',
    ],
)
def test_a_query_may_be_as_clever_as_it_likes(tmp_path: Path, query: str) -> None:
    """As long as it reads."""
    assert cells(read(a_database(tmp_path / "users.db"), query=query)) == [(1, "1", "x"), (2, "2", "x")]


def test_many_rows_come_in_batches_and_lose_nothing(tmp_path: Path) -> None:
    """More than one batch holds."""
    url = a_database(tmp_path / "users.db", ((n, f"Bird {n}") for n in range(25_000)))

    assert read(url, table="users").frame["source_row"].tolist() == list(range(1, 25_001))


def test_a_table_without_rows_is_an_export_of_nobody(tmp_path: Path) -> None:
    """All columns are there."""
    export = read(a_database(tmp_path / "users.db", []), table="users")

    assert (cells(export), export.columns) == ([], ("id", "name"))


@pytest.mark.parametrize(
    "query",
    [
        "delete from users",
        "delete from users returning id, name",
        "update users set name = 'x' returning id, name",
        "insert into users values (1, 2) returning id, name",
        "drop table users",
        "create table more (id, name)",
        "pragma journal_mode = wal",
        "pragma query_only = off",
        "pragma query_only = off; delete from users",
        "select id, name from users; delete from users",
        "attach '{folder}/evil.db' as evil",
        "vacuum into '{folder}/evil.db'",
    ],
)
def test_nothing_is_written_whatever_the_query_says(tmp_path: Path, query: str) -> None:
    """Neither into this file nor into another one."""
    url = a_database(tmp_path / "users.db")
    before = sha256((tmp_path / "users.db").read_bytes()).digest()

    refusal(url, query=query.format(folder=tmp_path))

    assert sha256((tmp_path / "users.db").read_bytes()).digest() == before
    assert [path.name for path in tmp_path.iterdir()] == ["users.db"]


@pytest.mark.parametrize("name", ["none.db", "no#ne.db", "no%23ne.db"])
def test_a_missing_file_is_refused_and_not_made(tmp_path: Path, name: str) -> None:
    """SQLite would make one, and it would be an empty export."""
    assert "unable to open" in refusal(f"sqlite:///{tmp_path}/{name}", table="users")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["a b", "a#b", "a%b", "kiwí"])
def test_a_path_may_hold_any_character(tmp_path: Path, folder: str) -> None:
    """Also those that mean something in a URL."""
    (tmp_path / folder).mkdir()

    assert len(read(a_database(tmp_path / folder / "users.db"), table="users").frame) == 4


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select id from users", "'name' is missing"),
        ("select id, id, name from users", "'id' is there 2 times"),
        ("select id, name from birds", "no such table: birds"),
        ("selec", "syntax error"),
        ("select 1 as id, x'ff' as name", "not UTF-8"),
        ("select 1 as id, cast(x'ff' as text) as name", "Could not decode to UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, query: str, words: str) -> None:
    """In the database's own words."""
    assert words in refusal(a_database(tmp_path / "users.db"), query=query)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Whatever its name says."""
    (tmp_path / "users.db").write_text("id,name\nkiwi,Kiwi\n" * 99)

    assert "file is not a database" in refusal(f"sqlite:///{tmp_path}/users.db", table="users")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("klingon://kiwi:hunter2@nest/birds", "not a database URL"),
        ("://kiwi:hunter2@nest", "not a database URL"),
        ("postgresql://kiwi:hunter2@nest:door/birds", "port is not a number"),
        ("postgresql://kiwi:x@hunter2@nest/birds", "not quoted"),
        ("mariadb://kiwi:x/hunter2@nest/birds", "not quoted"),
        ("mariadb://kiwi:x?hunter2#@nest/birds", "not quoted"),
        ("sqlite+nodriver://kiwi:hunter2@/birds", "not a database URL"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str, words: str) -> None:
    """Nothing that is said repeats it."""
    said = refusal(url, table="users")

    assert words in said
    assert "hunter2" not in said
