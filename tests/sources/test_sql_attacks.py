"""The promise that a source query cannot write: whatever it says, in every database that is tested."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from reconcile.errors import SourceError
from tests.databases import Server
from tests.sources.builders import read

# {folder} is one that the server may write into.
POSTGRESQL = [
    "delete from users",
    "delete from users returning id, name",
    "update users set name = 'x' returning id, name",
    "insert into users values (9, 'x') returning id, name",
    "merge into users using (values (1)) v(i) on id = i when matched then delete",
    "truncate users",
    "drop table users",
    "alter table users add column more text",
    "create table evil (id int)",
    "create temporary table evil as select * from users",
    "create function evil() returns int language sql as 'select 1'",
    "with gone as (delete from users returning id, name) select * from gone",
    "with more as (insert into users values (9, 'x') returning id, name) select * from more",
    "with x as (update users set name = 'x' returning id, name) select id, name from users",
    "select id, name into evil from users",
    "select id, name from users; delete from users",
    "select id, name from users; commit; delete from users; commit",
    "commit; begin; delete from users; commit",
    "commit",
    "set transaction read write",
    "set session characteristics as transaction read write",
    "begin read write",
    "select set_config('transaction_read_only', 'off', false) as id, burn()::text as name",
    "select set_config('default_transaction_read_only', 'off', false) as id, burn()::text as name",
    "select burn() as id, '' as name",
    "select id, name from users where burn() > 0",
    "call burning()",
    "do $$ begin delete from users; commit; end $$",
    "select nextval('eggs') as id, '' as name",
    "select setval('eggs', 99) as id, '' as name",
    "select id, name from users for update",
    "copy users to '{folder}/evil'",
    "copy users to program 'cat > {folder}/evil'",
    "copy (select 1) to program 'touch {folder}/evil'",
    "copy users from program 'echo 9,x'",
    "select 1 as id) to program 'touch {folder}/evil' --",
    "select lo_create(4711) as id, '' as name",
    "select lo_from_bytea(4711, 'x') as id, '' as name",
    "select lo_import('/etc/hostname', 4711) as id, '' as name",
    "explain analyze delete from users",
    "prepare evil as delete from users",
    "lock table users in access exclusive mode",
    "vacuum full users",
    "grant all on users to public",
    "alter system set work_mem = '1MB'",
    "create role evil superuser",
    "notify evil, 'x'",
    "refresh materialized view seen",
]
MARIADB = [
    "delete from users",
    "delete from users returning id, name",
    "update users set name = 'x'",
    "insert into users values (9, 'x') returning id, name",
    "replace into users values (1, 'x') returning id, name",
    "truncate users",
    "drop table users",
    "rename table users to gone",
    "alter table users add column more text",
    "create table evil (id int)",
    "create temporary table evil as select * from users",
    "select id, name from users; delete from users",
    "select id, name from users; commit; delete from users; commit",
    "commit",
    "start transaction read write",
    "set session transaction read write",
    "set statement max_statement_time = 0 for delete from users",
    "/* a comment */ -- another\n # and another\n delete from users",
    "/*! delete from users */",
    "/*!50000 delete */ from users",
    "/*M! delete from users */",
    "(delete from users)",
    "with x as (select 1) delete from users",
    "begin not atomic commit; delete from users; commit; end",
    "begin not atomic set session transaction read write; commit; delete from users; end",
    "execute immediate 'delete from users'",
    "prepare evil from 'delete from users'",
    "call burning()",
    "do burn()",
    "select burn() as id, '' as name",
    "select burn_old() as id, '' as name",
    "select id, name from users where burn() > 0",
    "select nextval(eggs) as id, '' as name",
    "select setval(eggs, 99) as id, '' as name",
    "select id, name from users into outfile '{folder}/evil'",
    "select id, name into/**/outfile '{folder}/evil' from users",
    "select id, name from users /*! into outfile '{folder}/evil' */",
    "select 'x' into dumpfile '{folder}/evil'",
    "select id, name from users) as q into outfile '{folder}/evil' #",
    "load data infile '/etc/hostname' into table users",
    "load data local infile '/etc/hostname' into table users",
    "analyze format=json delete from users",
    "handler users open",
    "lock tables users write",
    "flush tables",
    "grant all on birds.* to evil identified by 'x'",
    "create user evil",
    "set global max_connections = 7",
    "install soname 'ha_archive'",
    "kill query connection_id()",
    "analyze table users",
]
SQLITE = [
    "delete from users",
    "delete from users returning id, name",
    "update users set name = 'x' returning id, name",
    "insert into users values (1, 2) returning id, name",
    "replace into users values (1, 2)",
    "with x as (select 1) delete from users",
    "drop table users",
    "alter table users add column more",
    "create table more (id, name)",
    "create temporary table more (id, name)",
    "create view more as select 1",
    "create virtual table more using fts5(name)",
    "create trigger more after insert on users begin delete from users; end",
    "create index more on users (id)",
    "pragma journal_mode = wal",
    "pragma query_only = off",
    "pragma query_only = off; delete from users",
    "pragma writable_schema = on",
    "pragma user_version = 7",
    "select id, name from users; delete from users",
    "begin immediate",
    "commit",
    "savepoint evil",
    "attach '{folder}/evil.db' as evil",
    "attach ':memory:' as evil",
    "detach main",
    "vacuum",
    "vacuum into '{folder}/evil.db'",
    "reindex",
    "analyze",
    "explain delete from users",
    "update sqlite_master set sql = ''",
    "delete from sqlite_master",
    "select load_extension('{folder}/evil.so') as id, '' as name",
    "select fts3_tokenizer('evil', x'00') as id, '' as name",
    "select writefile('{folder}/evil', 'x') as id, '' as name",
]
# What is in the way of an attack that gets through: a function, a procedure and a sequence that write.
SETUP = {
    "postgresql": (
        "create table users (id int, name text)",
        "create sequence eggs",
        "create materialized view seen as select * from users",
        "create function burn() returns int language plpgsql as $$ begin delete from users; return 1; end $$",
        "create procedure burning() language plpgsql as $$ begin delete from users; commit; end $$",
        "insert into users values (1, 'Kiwi'), (2, 'Heron')",
    ),
    "mariadb": (
        "create table users (id int, name text)",
        "create table old (id int) engine = myisam",
        "create sequence eggs",
        "create function burn() returns int begin delete from users; return 1; end",
        "create function burn_old() returns int begin delete from old; return 1; end",
        "create procedure burning() begin delete from users; commit; end",
        "insert into users values (1, 'Kiwi'), (2, 'Heron')",
        "insert into old values (1)",
    ),
}
DIGESTS = {
    "postgresql": (
        "select * from users order by id",
        "select last_value, is_called from eggs",
        "select relname, relkind, relacl::text, relnatts from pg_class where oid > 16384 order by 1, 2",
        "select proname from pg_proc where pronamespace = 'public'::regnamespace order by 1",
        "select rolname, rolsuper from pg_roles order by 1",
        "select oid from pg_largeobject_metadata",
        "select name, setting from pg_file_settings order by 1",
    ),
    "mariadb": (
        "select * from users order by id",
        "select * from old",
        "select next_not_cached_value from eggs",
        "select table_name, table_type from information_schema.tables where table_schema = 'birds' order by 1",
        "select table_name, column_name from information_schema.columns where table_schema = 'birds' order by 1, 2",
        "select user, host from mysql.user order by 1, 2",
        "select @@global.max_connections",
        "select plugin_name from information_schema.plugins order by 1",
    ),
}
ATTACKS = [("postgresql", query) for query in POSTGRESQL] + [("mariadb", query) for query in MARIADB]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of the machine may write into."""
    path = Path(tempfile.mkdtemp(prefix="attack-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def digest(server: Server) -> list[Any]:
    """Everything that an attack might change."""
    return [server.execute(query) for query in DIGESTS[server.kind]]


_ARMED: dict[str, list[Any]] = {}


def armed(server: Server) -> list[Any]:
    """See that the targets stand as they were made, or make them; give their digest."""
    with suppress(psycopg.Error, pymysql.Error):
        if _ARMED.get(server.kind) == digest(server):
            return _ARMED[server.kind]
    server.clean()
    server.execute(*SETUP[server.kind])
    _ARMED[server.kind] = digest(server)
    return _ARMED[server.kind]


@pytest.mark.parametrize(("kind", "query"), ATTACKS)
def test_a_query_of_a_server_cannot_write(
    request: pytest.FixtureRequest, folder: Path, kind: str, query: str
) -> None:
    """Read as the administrator, who may do everything; no table, no sequence and no file moves."""
    server: Server = request.getfixturevalue(f"_{kind}")
    before = armed(server)

    with suppress(SourceError):
        read(server.url(), query=query.replace("{folder}", str(folder)))

    assert digest(server) == before
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_targets_of_the_attacks_can_be_hit(request: pytest.FixtureRequest, kind: str) -> None:
    """A digest that nothing changes would prove nothing."""
    server: Server = request.getfixturevalue(kind)
    server.execute(*SETUP[kind])
    before = digest(server)
    server.execute("select burn()", "select nextval('eggs')" if kind == "postgresql" else "select nextval(eggs)")
    after = digest(server)

    assert before[0] != after[0]
    assert before != after


@pytest.mark.parametrize("query", SQLITE)
def test_a_query_of_sqlite_cannot_write(tmp_path: Path, query: str) -> None:
    """Neither into this file nor into another one; and each of these is refused."""
    path = tmp_path / "users.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table users (id, name)")
        connection.execute("insert into users values (1, 'Kiwi')")
        connection.commit()
    before = sha256(path.read_bytes()).digest()

    with pytest.raises(SourceError):
        read(f"sqlite:///{path}", query=query.replace("{folder}", str(tmp_path)))

    assert sha256(path.read_bytes()).digest() == before
    assert [found.name for found in tmp_path.iterdir()] == ["users.db"]
