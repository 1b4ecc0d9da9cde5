"""Promises about databases that have no reader of their own: read through SQLAlchemy, whichever it knows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import registry

from reconcile.errors import SourceError
from tests.sources.builders import NOW, cells, read


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A database of a kind that nobody has heard of."""
    registry.register("nest", "sqlalchemy.dialects.sqlite.pysqlite", "dialect")
    with closing(sqlite3.connect(tmp_path / "users.db")) as connection:
        connection.execute("create table users (id, name)")
        connection.executemany("insert into users values (?, ?)", [(n, f"Bird {n}") for n in range(5_000)])
        connection.commit()
    yield f"nest:///{tmp_path}/users.db"
    registry.impls.pop("nest")


def test_any_database_that_sqlalchemy_knows_is_read(url: str) -> None:
    """By table, by query, and in batches."""
    query = "select id, name || ':x' as name from users where name like 'Bird 7%' and id < 10"

    assert cells(read(url, query=query)) == [(1, "7", "Bird 7:x")]
    assert read(url, table="main.users").frame["source_row"].tolist() == list(range(1, 5_001))
    assert read(url, table="users").as_of_unix_s == NOW


def test_nothing_is_committed_anywhere(url: str) -> None:
    """What a statement did is undone where the database can."""
    with pytest.raises(SourceError):
        read(url, query="delete from users")

    assert len(read(url, table="users").frame) == 5_000


@pytest.mark.parametrize(
    ("where", "words"),
    [("query", "no such table: birds"), ("driver", "is not installed"), ("time", "source.timeout")],
)
def test_what_cannot_be_read_is_refused(url: str, where: str, words: str) -> None:
    """In the database's words, or ours."""
    asked = {
        "query": (url, "select * from birds", "10m"),
        "driver": ("oracle+oracledb://kiwi:hunter22@nest/birds", "select 1", "10m"),
        "time": (url, "select id, name from users", "0s"),
    }[where]
    with pytest.raises(SourceError) as refused:
        read(asked[0], query=asked[1], timeout=asked[2])

    assert words in refused.value.message
