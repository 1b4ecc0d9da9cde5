"""The job from real database servers: the same plan as from a file, and no password anywhere."""

import base64
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from reconcile.errors import ExitCode
from reconcile.sandbox.testing import Sandbox
from tests.conftest import SAMPLES, Shell
from tests.databases import PostgreSQL, Server
from tests.e2e.profiles import Profile, under_one_profile

# What a database gives, and what is said of it, does not depend on how the service answers.
pytestmark = under_one_profile

PASSWORD = "c@n/ary:#%41 ñ?"


def load_samples(server: Server) -> None:
    """Fill a table with the sample export, in native types; rows of another width have no place in one."""
    with (SAMPLES / "users.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    columns = ", ".join(f"{name} varchar(4000)" for name in head).replace("ring varchar(4000)", "ring varchar(20)")
    if server.kind == "mariadb":
        columns = columns.replace("4000", "1500")
    server.execute(f"create table users ({columns})")
    server.load("users", [row for row in rows if len(row) == len(head)])


def with_a_password(server: Server) -> str:
    """An account that logs in by the canary."""
    if isinstance(server, PostgreSQL):
        server.execute(
            "drop owned by finch"
            if server.execute("select 1 from pg_roles where rolname = 'finch'")
            else "select 1"
        )
        server.execute("drop role if exists finch", f"create role finch login password '{PASSWORD}'")
        server.execute("grant select on users to finch")
        server.demand_password("finch")
    else:
        server.execute(f"create or replace user finch identified by '{PASSWORD}'")
        server.execute("grant select on birds.users to finch")
    return server.url("finch", PASSWORD)


def test_a_plan_from_a_database_is_the_plan_from_the_file(
    shell: Shell, drifted: Sandbox, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the rows that a table cannot hold."""
    load_samples(server)
    monkeypatch.setenv("DATABASE_URL", server.url())
    text = (shell.folder / "reconcile-sql.toml").read_text("utf-8")
    text = text.replace('"sqlite:///users.db"', '"${DATABASE_URL}"').replace("where plan <> 'royal'", "")
    shell.write("reconcile-sql.toml", text)

    planned = shell("plan", "--config", "reconcile-sql.toml", "--json")
    from_file = shell("plan", "--json")

    assert (planned.code, from_file.code) == (0, 0)
    assert planned.json["drift"] == from_file.json["drift"]
    assert planned.json["plan"] == from_file.json["plan"]
    assert planned.json["source"]["as_of"] is not None


def test_a_database_that_fails_half_way_changes_nobody(shell: Shell, drifted: Sandbox, server: Server) -> None:
    """Exit 6, and not one request."""
    many = {
        "postgresql": "select i::text as uid, repeat('x', 90) as name from generate_series(1, 5000000) i",
        "mariadb": "select seq as uid, repeat('x', 90) as name from seq_1_to_5000000",
    }[server.kind]
    shell.write("empty.toml", "")
    # The limit strikes among the rows.
    result = shell(
        "apply", "--yes", "--source", server.url(), "--query", many, "--set", "source.timeout=0.3s", "--set",
        "cometchat.app_id=demo", "--config", "empty.toml",
    )  # fmt: skip

    assert result.code == ExitCode.SOURCE
    assert "source.timeout" in result.err
    assert drifted.log() == []


# It may be raised in a __del__, is lost there, and comes again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_deadline_ends_a_query_of_a_database(shell: Shell, drifted: Sandbox, server: Server) -> None:
    """While the database has not given a row; without a request of the run that is still to be answered."""
    shell.write("empty.toml", "")
    slow = {
        "postgresql": "select pg_sleep(600)::text as uid, 'x' as name",
        "mariadb": "select sleep(600) as uid, 'x' as name",
    }
    result = shell(
        "plan", "--json", "--source", server.url(), "--query", slow[server.kind], "--set", "limits.deadline=0.5s",
        "--set", "cometchat.app_id=demo", "--config", "empty.toml",
    )  # fmt: skip

    assert result.code == ExitCode.UNREACHABLE
    assert result.json["error"]["message"] == "the deadline of 0.5s passed"
    assert drifted.log() == []


def everything_left(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder, as text."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".csv":
            data = path.read_bytes()
            if path.suffix == ".gz":
                import gzip  # noqa: PLC0415

                data = gzip.decompress(data)
            yield str(path), data.decode("utf-8", "replace")


FORMS = {
    PASSWORD,
    quote(PASSWORD, safe=""),
    quote(PASSWORD),
    quote_plus(PASSWORD),
    base64.b64encode(PASSWORD.encode()).decode(),
    PASSWORD.encode("unicode_escape").decode(),
}


@pytest.mark.parametrize("command", ["plan", "apply", "doctor"])
@pytest.mark.parametrize("trouble", ["none", "wrong password", "no database", "bad query", "a bug"])
@pytest.mark.parametrize("form", ["the whole URL", "the password"])
def test_the_password_of_a_url_is_nowhere(
    shell: Shell,
    drifted: Sandbox,
    server: Server,
    profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    trouble: str,
    form: str,
) -> None:
    """Not on a stream, in a report, plan, state or traceback; whether all is well or not, raw or encoded."""
    load_samples(server)
    url = with_a_password(server)
    if trouble == "wrong password":
        url = url.replace("finch:", "nobody:")
    if trouble == "no database":
        url = url.replace("/birds", "/nest")
    location = "${DATABASE_URL}"
    if form == "the password":
        location = re.sub(r":[^:@]+@", ":${DB_PASSWORD}@", url)
        assert "${DB_PASSWORD}" in location
        monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    monkeypatch.setenv("DATABASE_URL", url)
    text = (shell.folder / "reconcile-sql.toml").read_text("utf-8").replace("sqlite:///users.db", location)
    if trouble == "bad query":
        text = text.replace("select id", "select idd")
    shell.write("reconcile.toml", text.replace("order by id", ""))
    if trouble == "a bug":
        monkeypatch.setattr("reconcile.sources.sql._texts", broken)

    result = shell(command, "--log-format", "json", "--verbose", *(["--yes"] if command == "apply" else []))

    said = {"stdout": result.out, "stderr": result.err} | dict(everything_left(shell.folder.parent))
    assert {name: form for name, text in said.items() for form in FORMS if form in text} == {}
    well = {0, profile.done} if command == "apply" else {0}
    assert (result.code in well) == (trouble == "none"), result.err


def broken(*arguments: object) -> None:
    """Fail as only a bug does, with all that is known in the words."""
    raise AssertionError(arguments)
