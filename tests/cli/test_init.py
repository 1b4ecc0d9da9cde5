"""`init` looks at what it is given and proposes a mapping; what it writes is planned with at once."""

import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.config import Flags, load
from reconcile.proposal import Sample, propose
from reconcile.sandbox.testing import Sandbox
from reconcile.scaffold import Draft, scaffold
from reconcile.settings import Source, rule_of
from tests.conftest import Shell
from tests.databases import Server
from tests.e2e.test_databases import PASSWORD, with_a_password
from tests.terminal import on_a_terminal

COLUMNS = ("user_id", "first_name", "fullName", "photo", "plan", "labels", "land", "logins", "password_hash")
ROWS = [
    ("u1", "Wren", "Wren Small", "https://img.example.com/1.png", "pro", "a;b", "NZ", "3", "x1"),
    ("u2", "Robin", "Robin Red", "", "free", "c", "NO", "12", "x2"),
    ("u3", "Ann", "Ann Heron", "https://img.example.com/3.png", "free", "", "", "0", "x3"),
]


@pytest.fixture
def bare(shell: Shell) -> Shell:
    """The command line with nothing in its folder."""
    for path in list(shell.folder.iterdir()):
        path.unlink()
    return shell


def _csv(shell: Shell) -> str:
    shell.write("people.csv", "\n".join(",".join(row) for row in (COLUMNS, *ROWS)))
    return "people.csv"


def _semicolons(shell: Shell) -> str:
    rows = "\n".join("^".join(row) for row in (COLUMNS, *ROWS)).replace("Ann Heron", "Ännchen Gruß")
    shell.write("people.csv", rows.encode("windows-1252"))
    return "people.csv"


def _json_lines(shell: Shell) -> str:
    users = [dict(zip(COLUMNS, row, strict=True)) | {"labels": row[5].split(";")} for row in ROWS]
    shell.write("people.jsonl", b"\n".join(map(msgspec.json.encode, users)) + b"\n")
    return "people.jsonl"


def _parquet(shell: Shell) -> str:
    table = pa.table({name: [row[at] for row in ROWS] for at, name in enumerate(COLUMNS)})
    pq.write_table(table, shell.folder / "people.parquet")
    return "people.parquet"


def _sqlite(shell: Shell) -> str:
    with closing(sqlite3.connect(shell.folder / "app.db")) as connection:
        connection.execute("create table orders (id)")
        connection.execute(f"create table users ({', '.join(COLUMNS)})")
        connection.executemany(f"insert into users values ({', '.join('?' * len(COLUMNS))})", ROWS)  # noqa: S608 - ours
        connection.commit()
    return "sqlite:///app.db"


FILES = [_csv, _semicolons, _json_lines, _parquet, _sqlite]


def _settings(shell: Shell) -> dict[str, Any]:
    return tomllib.loads((shell.folder / "reconcile.toml").read_text("utf-8"))


def _is_as_proposed(fields: dict[str, Any]) -> None:
    assert (fields["uid"], fields["name"], fields["avatar"]) == ("user_id", "fullName", "photo")
    assert fields["tags"]["column"] == "labels"
    assert "role" not in fields


@pytest.mark.parametrize("make", FILES)
def test_without_a_terminal_it_takes_what_it_proposes(
    bare: Shell, sandbox: Sandbox, make: Callable[[Shell], str]
) -> None:
    """Each kind of source; and the file is planned with at once."""
    begun = bare("init", "--source", make(bare), "--app-id", "demo")
    planned = bare("plan", "--json")

    assert begun.code == 0, begun.err
    _is_as_proposed(_settings(bare)["fields"])
    assert (planned.code, planned.json["plan"]["create"]) == (0, 3), planned.out
    assert '"plan" looks like a role' in begun.out
    assert "--map role=plan" in begun.out


@pytest.mark.parametrize("make", FILES)
def test_on_a_terminal_it_asks(bare: Shell, sandbox: Sandbox, make: Callable[[Shell], str]) -> None:
    """For the table, the mapping, the role, what is metadata, and the app."""
    table = ["users"] if make is _sqlite else []
    answers = [*table, "", "plan", "land, logins", "demo", "eu"]
    shown = on_a_terminal("init", "--source", make(bare), answers=answers)
    fields = _settings(bare)["fields"]
    planned = bare("plan", "--json", "--set", "roles.map={pro='default', free='default'}")

    assert shown.code == 0, shown.text
    assert fields.pop("role") == "plan"
    _is_as_proposed(fields)
    assert fields["metadata"] == {"land": "land", "logins": {"column": "logins", "type": "number"}}
    assert _settings(bare)["cometchat"] == {"app_id": "demo", "region": "eu"}
    assert (planned.code, planned.json["plan"]["create"]) == (0, 3), planned.out


def test_a_proposal_is_corrected_field_by_field(bare: Shell) -> None:
    """A slip is told at once, with the nearest name, and asked again; Enter keeps what is proposed."""
    answers = ["n", "", "fullname", "first_name", "-", "", "", "", "", "-", "demo", ""]
    shown = on_a_terminal("init", "--source", _csv(bare), answers=answers)
    fields = _settings(bare)["fields"]

    assert shown.code == 0, shown.text
    assert "did you mean fullName?" in shown.text
    assert (fields["uid"], fields["name"]) == ("user_id", "first_name")
    assert not {"avatar", "role"} & fields.keys()


def test_an_answer_that_does_not_come_writes_nothing(bare: Shell) -> None:
    """Ctrl-D, as Ctrl-C does."""
    shown = on_a_terminal("init", "--source", _csv(bare), answers=["", "\x04"])

    assert shown.code == 130
    assert not (bare.folder / "reconcile.toml").exists()


@pytest.mark.parametrize("way", ["terminal", "flags"])
def test_a_database_is_looked_at_and_its_password_stands_nowhere(
    bare: Shell, sandbox: Sandbox, server: Server, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The file names the variable that has the URL, and the rows come through the reader of a run."""
    server.execute(
        "create table orders (id int)",
        f"create table users ({', '.join(f'{name} varchar(200)' for name in COLUMNS)})",
    )
    server.load("users", ROWS)
    monkeypatch.setenv("APP_DB", with_a_password(server))
    argv = ("init", "--source", with_a_password(server), "--app-id", "demo", "--table", "users")
    if way == "terminal":
        begun = on_a_terminal(*argv, answers=["", "-", "-", ""])
        code, told = begun.code, begun.text
    else:
        result = bare(*argv)
        code, told = result.code, result.out + result.err
    written = (bare.folder / "reconcile.toml").read_text("utf-8")
    planned = bare("plan", "--json")

    assert code == 0, told
    assert _settings(bare)["source"] == {"location": "${APP_DB}", "table": "users"}
    assert not any(form in text for form in (PASSWORD, PASSWORD[:5]) for text in (written, told))
    assert (planned.code, planned.json["plan"]["create"]) == (0, 3), planned.out


def test_a_database_without_a_table_named(bare: Shell, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is called as users are; where none is, they are named and nothing is written."""
    server.execute("create table orders (id int)", "create table users (id int, name int)")
    found = bare("init", "--source", server.url(), "--app-id", "demo")
    table = _settings(bare)["source"]["table"]
    server.execute("drop table users", "create table birds (id int, name int)")
    refused = bare("init", "--source", server.url(), "--force")

    assert (found.code, table) == (0, "users")
    assert refused.code == 2
    assert "has the tables birds, orders" in refused.err
    assert "--table NAME" in refused.err


def test_flags_win_over_what_is_proposed(bare: Shell) -> None:
    """And a column that is not there is an error with the nearest one."""
    source = _csv(bare)
    maps = ("--map", "uid=first_name", "--map", "role=plan", "--map", "metadata.logins=logins")
    done = bare("init", "--source", source, "--app-id", "demo", *maps)
    fields = _settings(bare)["fields"]
    refused = bare("init", "--source", source, "--force", "--map", "name=fullname")

    assert done.code == 0
    assert (fields["uid"], fields["role"]) == ("first_name", "plan")
    assert fields["metadata"] == {"logins": {"column": "logins", "type": "number"}}
    assert refused.code == 2
    assert "did you mean 'fullName'?" in refused.err


def test_a_source_that_cannot_be_opened_is_said(bare: Shell) -> None:
    """As a run would say it; without any source the mapping is an example."""
    refused = bare("init", "--source", "gone.csv")
    example = bare("init")

    assert refused.code == 6
    assert "gone.csv does not exist" in refused.err
    assert (example.code, _settings(bare)["fields"]) == (0, {"uid": "id", "name": "full_name"})


def test_no_value_is_written_where_none_is_wanted(bare: Shell) -> None:
    """--no-examples; and what looks secret is neither shown nor offered."""
    bare("init", "--source", _csv(bare), "--no-examples")
    silent = (bare.folder / "reconcile.toml").read_text("utf-8")
    bare("init", "--source", "people.csv", "--force")
    open_ = (bare.folder / "reconcile.toml").read_text("utf-8")

    assert not any(value in silent for row in ROWS for value in row if len(value) > 4)
    assert "Wren Small" in open_
    assert not any(row[-1] in open_ for row in ROWS)
    assert "password_hash =" not in open_


def test_a_path_is_written_relative_to_the_file(bare: Shell, sandbox: Sandbox) -> None:
    """As it is read."""
    _csv(bare)
    (bare.folder / "conf").mkdir()
    bare("init", "--source", "people.csv", "--app-id", "demo", "--output", "conf/r.toml")

    assert bare("plan", "--config", "conf/r.toml", "--json").json["plan"]["create"] == 3


def test_only_the_first_rows_are_read(bare: Shell) -> None:
    """However long the export is, and whatever is wrong further down."""
    rows = "".join(f"u{i},Wren {i}\n" for i in range(200_000))
    bare.write("people.csv", b"uid,name\n" + rows.encode() + b"u,\xff\n")

    assert bare("init", "--source", "people.csv").code == 0


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        (("ID", "First Name", "Last Name"), ("1", "Ann", "Bird"), {"name": "template '{First Name} {Last Name}'"}),
        (("id", "uuid", "name"), ("not legal!", "u-1", "Ann"), {"uid": "column 'uuid'"}),
        (("email", "name"), ("a@example.com", "Ann"), {"uid": "column 'email'"}),
        (("uid", "name", "name"), ("1", "Ann", "Bob"), {}),
        (("uid", "name", "avatar"), ("1", "Ann", "no address"), {"name": "column 'name'"}),
        (("uid", "name", "tags"), ("1", "Ann", "a, b"), {"tags": "column 'tags', split at ','"}),
    ],
)
def test_what_is_proposed(columns: tuple[str, ...], row: tuple[str, ...], expected: dict[str, str]) -> None:
    """By names as people write them, and by whether the values could be it."""
    found = {name: str(rule_of(name, column)) for name, column in propose(Sample(columns, (row,))).fields.items()}

    assert expected.items() <= found.items()
    assert ("avatar" in found) is False
    assert ("name" in found) == (columns.count("name") < 2)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(TEXT, min_size=1, max_size=6), st.lists(TEXT, min_size=6, max_size=6), TEXT)
def test_whatever_columns_are_called_the_file_can_be_read(names: list[str], cells: list[str], place: str) -> None:
    """And says what was meant: no name and no value ends its line, its text or its comment."""
    sample = Sample(tuple(names), (tuple(cells[: len(names)]),))
    proposal = propose(sample)
    text = scaffold(Draft(Source(place), "demo", "us", proposal.fields, proposal, sample))
    read = tomllib.loads(text)

    assert read["source"]["location"] == place
    assert "role" not in read["fields"]
    assert {
        name: column.column for name, column in proposal.fields.items() if column.column is not None
    }.items() <= {
        name: entry if isinstance(entry, str) else entry.get("column") for name, entry in read["fields"].items()
    }.items()


def test_the_file_is_what_the_settings_are(tmp_path: Path) -> None:
    """Every key in it is known, and has the default that it would have without it."""
    path = tmp_path / "reconcile.toml"
    path.write_text(scaffold(Draft(Source("users.csv"), "demo", "us")))
    settings, bare = load(Flags(config=str(path)), {}), load(Flags(config="/dev/null"), {})

    for part in ("policy", "guards", "limits", "roles"):
        assert getattr(settings, part) == getattr(bare, part)
