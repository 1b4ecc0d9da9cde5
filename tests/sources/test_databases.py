"""Promises about servers: what is read from PostgreSQL and MariaDB, what is refused, and with which remedy."""

from typing import Any

import pytest

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import read_export
from reconcile.sources.cursor import BATCH
from reconcile.sources.sample import read_sample
from tests.builders import a_mapping
from tests.databases import PostgreSQL, Server
from tests.sources.builders import NOW, cells, read

# Each row of it, so that a server that sent them all at once would show.
MANY = {
    "postgresql": "select i::text as id, 'Bird ' || i as name from generate_series(1, {rows}) i",
    "mariadb": "select seq as id, concat('Bird ', seq) as name from seq_1_to_{rows}",
}


def with_users(server: Server) -> str:
    """A table of three users, as a URL."""
    server.execute(
        "create table users (id varchar(20), full_name varchar(20))",
        "insert into users values ('0012', 'Kíwi 🥝'), ('7', ''), ('8', null)",
    )
    return server.url()


def refusal(url: str, mapping: Mapping | None = None, **source: Any) -> str:
    """Why a database is refused."""
    with pytest.raises(SourceError) as caught:
        read_export(Source(location=url, **source), lambda _: mapping or a_mapping("name"), NOW)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_query_of_a_server_is_read(server: Server) -> None:
    """A percent sign and a colon in it mean nothing to us, and rows count from one."""
    query = (
        "select id, full_name as name from users where id not like 'x%' and full_name <> ':a %s %%' or id = '8';"
    )

    assert sorted(cells(read(with_users(server), query=query))) == [
        (1, "0012", "Kíwi 🥝"),
        (2, "7", ""),
        (3, "8", None),
    ]


def test_a_table_of_a_server_is_read_by_its_name(server: Server) -> None:
    """With or without its schema, and quoted where it has to be."""
    name = "my users; -- %s"
    quote = '"' if server.kind == "postgresql" else "`"
    schema = "public" if server.kind == "postgresql" else "birds"
    server.execute(
        f"create table {quote}{name}{quote} (id int, name int)",
    )

    assert (
        len(read(server.url(), table=name).frame) == len(read(server.url(), table=f"{schema}.{name}").frame) == 0
    )


@pytest.mark.parametrize("driver", ["", "+psycopg2", "+asyncpg"])
@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgresql_is_read_by_our_own_driver(postgresql: PostgreSQL, scheme: str, driver: str) -> None:
    """Whichever the URL names: it was written for somebody else."""
    url = with_users(postgresql).replace("postgresql:", f"{scheme}{driver}:")

    assert read_sample(Source(location=url, table="users")).columns == ("id", "full_name")


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+mysqldb", "mariadb+mariadbconnector"])
def test_mariadb_is_read_by_our_own_driver(mariadb: Server, scheme: str) -> None:
    """As above."""
    mariadb.execute("create table users (id int, full_name int)")
    url = mariadb.url().replace("mariadb:", f"{scheme}:")

    assert read_sample(Source(location=url, table="users")).columns == ("id", "full_name")


def test_many_rows_of_a_server_come_in_batches_and_lose_nothing(server: Server) -> None:
    """More than fifty batches, and one that is not full."""
    rows = 51 * BATCH + 7
    frame = read(server.url(), query=MANY[server.kind].format(rows=rows)).frame

    assert frame["source_row"].tolist() == list(range(1, rows + 1))
    assert {int(uid) for uid in frame["id"].tolist()} == set(range(1, rows + 1))


def test_as_of_is_the_start_of_the_query_by_the_clock_of_the_server(server: Server) -> None:
    """It is that clock that stamped the rows."""
    clock = "select extract(epoch from now())" if server.kind == "postgresql" else "select unix_timestamp()"
    url = with_users(server)
    ((before,),) = server.execute(clock)
    as_of = read(url, query="select id, full_name as name from users").as_of_unix_s
    ((after,),) = server.execute(clock)

    assert int(before) <= as_of <= int(after)


def test_as_of_of_the_settings_counts_more(server: Server) -> None:
    """Whoever reads a replica that lags knows better."""
    export = read(
        with_users(server), query="select id, full_name as name from users", as_of="2026-11-23T02:00:00Z"
    )

    assert export.as_of_unix_s == 1_795_399_200


@pytest.mark.parametrize(
    ("query", "words", "remedy"),
    [
        ("select id, name from users", ["name"], "did you mean 'full_name'?"),
        ("select id, full_name as name from user5", ["user5", "exist"], "did you mean 'users'?"),
        ("select id, full_name from users", ["'name' is missing"], "did you mean 'full_name'?"),
        ("select id, id, full_name as name from users", ["'id' is there 2 times"], "a name of its own"),
        ("selec id from users", ["cannot be read"], "beginning with SELECT or WITH"),
        ("select id, from users", ["syntax"], "one statement that only reads"),
        ("", ["cannot be read"], "beginning with SELECT or WITH"),
        ("select 1/0 as id, zeroblob(1) as name", ["zeroblob", "does not exist"], "check the URL, the query"),
    ],
)
def test_what_is_wrong_with_a_query_is_said(server: Server, query: str, words: list[str], remedy: str) -> None:
    """In the database's words, with the nearest name where one is missing."""
    said = refusal(with_users(server), query=query or " ")

    assert all(word in said for word in words), said
    assert remedy in said
    assert "birds" in said


def test_a_query_without_columns_is_refused(postgresql: PostgreSQL) -> None:
    """PostgreSQL has them."""
    assert "gives no columns" in refusal(with_users(postgresql), query="select from users")


def test_an_unknown_database_is_refused(server: Server) -> None:
    """By its name."""
    said = refusal(server.url(database="nest"), table="users")

    assert "nest" in said
    assert "check the database at the end of the URL" in said


def test_a_wrong_password_is_refused(server: Server) -> None:
    """The remedy names the characters that a URL would cut it at."""
    with_users(server)
    if isinstance(server, PostgreSQL):
        server.execute("drop role if exists finch", "create role finch login password 'right'")
        server.demand_password("finch")
    else:
        server.execute("create or replace user finch identified by 'right'")
    said = refusal(server.url("finch", "wr0ng-pass"), table="users")

    assert "finch" in said
    assert "check the account and the password" in said
    assert "wr0ng-pass" not in said


def test_a_right_that_is_missing_is_named(server: Server) -> None:
    """An account of its own for the job is worth the trouble."""
    with_users(server)
    if server.kind == "postgresql":
        server.execute("drop role if exists wren", "create role wren login")
    else:
        server.execute(
            "create or replace user wren",
            "create table seen (id int)",
            "grant select on birds.seen to wren",
        )
    said = refusal(server.url("wren"), table="users")

    assert "denied" in said
    assert "the right to read" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the driver leaves its socket
@pytest.mark.parametrize("scheme", ["postgresql", "mariadb"])
def test_a_server_that_is_not_there_is_refused(scheme: str) -> None:
    """With the remedy for that."""
    said = refusal(f"{scheme}://kiwi:hunter22@127.0.0.1:9/birds", table="users")

    assert "check host and port" in said
    assert "hunter22" not in said


@pytest.mark.parametrize("scheme", ["postgresql", "mariadb"])
def test_an_option_that_no_driver_knows_is_refused(scheme: str) -> None:
    """And not called a bug."""
    said = refusal(f"{scheme}://kiwi:hunter22@127.0.0.1:9/birds?feathers=7", table="users")

    assert "feathers" in said
    assert "hunter22" not in said
