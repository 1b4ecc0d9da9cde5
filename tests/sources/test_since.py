"""Promises about reading only what changed: which rows come, how the value gets to the database, and what is the mark."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconcile.errors import SettingsError, SourceError
from reconcile.settings import Since, Source
from reconcile.sources import Export, read_export
from tests.builders import a_mapping
from tests.databases import Server
from tests.sources.builders import NOW, cells

ROWS = [
    ("kiwi", "Kiwi", "2026-11-26 10:00:00"),
    ("owl", "Owl", "2026-11-27 10:00:00"),
    ("tui", "Tui", "2026-11-27 10:00:00.5"),
    ("emu", "100% :since", None),
]
SINCE = {
    "sqlite": "2026-11-27 10:00:00",
    "postgresql": "2026-11-27T10:00:00",
    "mariadb": "2026-11-27T10:00:00",
}
MARK = {kind: f"{text}.5" for kind, text in SINCE.items()}

Made = tuple[str, str]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Made]:
    """Each database in its turn, with a table `users` whose third column is of a type; gives its kind and URL."""

    def make(kind_of_column: str, rows: list[tuple[Any, ...]]) -> Made:
        if request.param == "sqlite":
            with closing(sqlite3.connect(tmp_path / "users.db")) as connection, connection:
                connection.execute(f"create table users (id text, name text, moved {kind_of_column})")
                connection.executemany("insert into users values (?, ?, ?)", rows)
            return "sqlite", f"sqlite:///{tmp_path}/users.db"
        server: Server = request.getfixturevalue(request.param)
        own = {"timestamp": "datetime(1)"} if server.kind == "mariadb" else {}
        kind = own.get(kind_of_column, kind_of_column)
        server.execute(f"create table users (id varchar(20), name varchar(20), moved {kind} null)")
        server.load("users", rows)
        return server.kind, server.url()

    return make


def read(url: str, since: str | None, *, column: str = "moved", asks: str = "", **source: str) -> Export:
    """Read a part of a database."""
    described = Source(location=url, since=Since(column=column, query=asks), **source)
    return read_export(described, lambda _: a_mapping("name"), NOW, since)


@pytest.mark.parametrize(
    "source",
    [
        {"table": "users"},
        {"query": "select id, name, moved from users"},
        {"query": "select id, name, moved from users where name <> ':x %s %% (' ;  "},
        {"query": "select id, name, moved from users -- all of them"},
        {"query": "with birds as (select * from users) select * from birds order by id"},
        {"table": "users", "asks": "select id, name, moved from users where moved >= :since and ':since' <> '%'"},
        {"table": "users", "asks": "select id, name, moved from users where :since <= moved /* :since */ and moved >= :since"},
    ],
    ids=["table", "query", "signs", "comment", "with", "own query", "twice"],
)  # fmt: skip
def test_only_what_changed_comes_and_the_rest_is_as_ever(
    made: Callable[..., Made], source: dict[str, str]
) -> None:
    """From the value on, itself included; a percent sign or a colon of the query means nothing to a driver."""
    kind, url = made("timestamp", ROWS)
    part, whole = read(url, SINCE[kind], **source), read(url, None, **source)

    assert sorted(row[1:] for row in cells(part)) == [("owl", "Owl"), ("tui", "Tui")]
    assert len(whole.frame) == len(ROWS)
    assert part.mark == whole.mark == MARK[kind]
    assert part.columns == whole.columns


def test_a_row_without_a_value_is_counted(made: Callable[..., Made]) -> None:
    """No part will ever have it."""
    kind, url = made("timestamp", ROWS)

    assert any(
        "1 rows have neither a time nor a number in moved" in note for note in read(url, None, table="users").notes
    )
    assert read(url, SINCE[kind], table="users").notes == ()


def test_a_part_may_be_empty(made: Callable[..., Made]) -> None:
    """A quiet hour: all columns, no row, no mark."""
    kind, url = made("timestamp", ROWS)
    part = read(url, SINCE[kind].replace("2026", "2027"), table="users")

    assert (cells(part), part.mark, part.columns) == ([], None, ("id", "name", "moved"))


@pytest.mark.parametrize("kind_of_column", ["bigint", "double precision", "numeric(20, 3)"])
def test_a_column_of_numbers_is_compared_as_numbers(made: Callable[..., Made], kind_of_column: str) -> None:
    """A version, or seconds: nine comes before ten."""
    _, url = made(kind_of_column, [("kiwi", "Kiwi", 9), ("owl", "Owl", 10), ("tui", "Tui", 1700000000)])

    assert [row[1] for row in cells(read(url, "9.5", table="users"))] == ["owl", "tui"]
    assert [row[1] for row in cells(read(url, "10", table="users"))] == ["owl", "tui"]
    assert str(read(url, None, table="users").mark).partition(".")[0] == "1700000000"


@pytest.mark.parametrize(
    "text", ["x' or 'a' = 'a", "x\\' or 1=1 -- ", '"; drop table users; --', "%s", "%(since)s"]
)
def test_the_value_is_bound_and_never_a_piece_of_the_query(made: Callable[..., Made], text: str) -> None:
    """Whatever stands in it is compared, and no more; and no such text gets this far: a mark is a time or a number."""
    _, url = made("varchar(60)", [("kiwi", "Kiwi", "!"), ("owl", "Owl", text)])
    asks = "select id, name, moved from users where moved = :since"

    assert [row[1] for row in cells(read(url, text, table="users", asks=asks))] == ["owl"]
    assert len(read(url, None, table="users").frame) == 2


def test_a_time_with_a_zone_is_one_moment_whoever_asks(postgresql: Server) -> None:
    """The server's zone and that of the rows do not matter."""
    postgresql.execute("create table users (id text, name text, moved timestamptz)")
    postgresql.load(
        "users", [("kiwi", "Kiwi", "2026-11-27 10:00:00+13"), ("owl", "Owl", "2026-11-26 22:00:00+00")]
    )
    url = f"{postgresql.url()}&options=-ctimezone%3DPacific/Auckland"

    assert read(url, None, table="users").mark == "2026-11-26T22:00:00+00:00"
    assert [row[1] for row in cells(read(url, "2026-11-26T21:30:00+00:00", table="users"))] == ["owl"]


def test_a_column_that_is_not_there_is_named(made: Callable[..., Made]) -> None:
    """With the nearest, whether a part is read or everything."""
    kind, url = made("timestamp", ROWS)
    with pytest.raises(SourceError) as whole:
        read(url, None, table="users", column="move")
    with pytest.raises(SourceError) as part:
        read(url, SINCE[kind], table="users", column="move")

    assert "column of source.since, 'move' is missing" in whole.value.message
    assert "did you mean 'moved'?" in whole.value.hint
    assert "move" in part.value.message


def test_times_of_more_than_one_form_are_refused(tmp_path: Path) -> None:
    """SQLite compares them as texts, and T comes behind a space."""
    with closing(sqlite3.connect(tmp_path / "users.db")) as connection, connection:
        connection.execute("create table users (id, name, moved)")
        connection.execute(
            "insert into users values ('a', 'A', '2026-11-27 10:00:00'), ('b', 'B', '2026-11-27T10:00:00')"
        )

    with pytest.raises(SourceError, match="more than one form"):
        read(f"sqlite:///{tmp_path}/users.db", None, table="users")


def test_a_database_that_nobody_tried_is_read_whole_or_not_at_all() -> None:
    """How it compares is not known."""
    with pytest.raises(SettingsError, match="--since is for"):
        read("oracle+oracledb://kiwi:hunter22@nest/birds", "2026-11-27", table="users")
