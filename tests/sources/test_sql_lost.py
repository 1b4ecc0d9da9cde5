"""Promises about connections that are lost and reads that last: a failed read, never a short one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from sqlalchemy.engine import make_url

from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import read_export
from reconcile.sources.cursor import Ask, Stream
from reconcile.sources.mysql import open_mysql
from reconcile.sources.postgresql import open_postgresql
from tests.builders import a_mapping
from tests.databases import Server
from tests.sources.builders import NOW, read

MANY = {
    "postgresql": "select i as id, repeat('kiwi', 50) as name from generate_series(1, 3000000) i",
    "mariadb": "select seq as id, repeat('kiwi', 50) as name from seq_1_to_3000000",
}
READERS = {
    "postgresql": "select pid from pg_stat_activity where application_name = 'reconcile'",
    "mariadb": "select id from information_schema.processlist where info like '%seq_1_to_%' and id <> connection_id()",
}
END = {"postgresql": "select pg_terminate_backend({})", "mariadb": "kill {}"}


@contextmanager
def a_read_at_work(server: Server) -> Iterator[Stream]:
    """A read of three million rows, of which one batch has arrived."""
    source = Source(location=server.url(), query=MANY[server.kind])
    ask = Ask.of(source, make_url(source.location))
    with (open_postgresql if server.kind == "postgresql" else open_mysql)(ask) as stream:
        assert len(stream.fetch()) > 1000
        yield stream


def drain(stream: Stream) -> None:
    """Read to the end, if there is one."""
    while stream.fetch():
        pass


def end_readers(server: Server, end: str = "") -> None:
    """Have the server end every connection that reads many rows."""
    for (reader,) in server.execute(READERS[server.kind]):
        server.execute((end or END[server.kind]).format(reader))


def what_is_said_when(server: Server, happens: Callable[[], None]) -> SourceError:
    """Read half of the rows, have something happen, and read on."""
    try:
        with a_read_at_work(server) as stream:
            happens()
            drain(stream)
    except SourceError as error:
        return error
    raise AssertionError("the read came to an end")


def test_a_connection_that_is_ended_half_way_is_a_failed_read(server: Server) -> None:
    """Not the rows that had come."""
    said = what_is_said_when(server, lambda: end_readers(server))

    assert "run it again when the database is up" in said.hint


def test_a_query_that_is_killed_half_way_is_a_failed_read(mariadb: Server) -> None:
    """The connection stands, and the rows that had come are not believed."""
    assert "interrupted" in str(what_is_said_when(mariadb, lambda: end_readers(mariadb, "kill query {}")))


def test_a_server_that_is_killed_half_way_is_a_failed_read(server: Server) -> None:
    """Every process of it, at once."""
    try:
        said = what_is_said_when(server, server.kill)
    finally:
        server.start()

    assert "run it again when the database is up" in said.hint


def test_a_whole_read_that_is_cut_gives_no_export(server: Server) -> None:
    """Whoever asks for an export gets an error, and no frame."""

    def choose(_columns: tuple[str, ...]) -> Mapping:
        end_readers(server)
        return a_mapping("name")

    with pytest.raises(SourceError):
        read_export(Source(location=server.url(), query=MANY[server.kind]), choose, NOW)


def test_a_read_that_is_given_up_leaves_no_connection(server: Server) -> None:
    """And does not wait for rows that nobody wants."""
    with pytest.raises(LookupError), a_read_at_work(server):
        raise LookupError

    for _ in range(100):
        if not server.execute(READERS[server.kind]):
            return
        Event().wait(0.1)
    raise AssertionError("the server still reads for nobody")


SLOW = [
    ("postgresql", "select pg_sleep(60)::text as id, '' as name"),
    ("postgresql", "select i as id, pg_sleep(0.01)::text as name from generate_series(1, 100000) i"),
    ("postgresql", "select i as id, 'x' as name from generate_series(1, 100000000) i"),
    ("postgresql", "select set_config('statement_timeout', '0', false) as id, pg_sleep(0.01)::text as name "
                   "from generate_series(1, 100000)"),
    ("mariadb", "select sleep(60) as id, '' as name"),
    ("mariadb", "select seq as id, sleep(0.01) as name from seq_1_to_100000"),
    ("mariadb", "select seq as id, 'x' as name from seq_1_to_100000000"),
    ("sqlite", "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as id, '' as name from n"),
    ("sqlite", "with recursive n(i) as (select 1 union all select i + 1 from n) select i as id, 'x' as name from n"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "query"), SLOW)
def test_a_read_ends_within_a_second_of_its_limit(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, query: str
) -> None:
    """Whether the rows are long in coming or too many; one try of three counts, for the machine may be busy."""
    (tmp_path / "users.db").touch()
    url = f"sqlite:///{tmp_path}/users.db" if kind == "sqlite" else request.getfixturevalue(kind).url()

    late = []
    for _ in range(3):
        start = monotonic()
        with pytest.raises(SourceError) as refused:
            read(url, query=query, timeout="1s")
        late.append(monotonic() - start - 1)
        assert "cannot be read in 1s (source.timeout)" in refused.value.message
        assert "raise source.timeout" in refused.value.hint
        if late[-1] < 1:
            break
    assert -0.1 < min(late) < 1


def test_no_limit_is_none(server: Server) -> None:
    """For those who want to wait."""
    assert len(read(server.url(), query="select 1 as id, 'x' as name", timeout="none").frame) == 1
