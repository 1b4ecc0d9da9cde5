"""Promises about native types: each arrives as the table in docs/databases.md says, and nobody has to cast."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from reconcile.core.frame import desire
from reconcile.core.mapping import ColumnKind, ColumnRule
from reconcile.core.normal import canonical_json
from reconcile.core.users import as_json
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import read_export
from tests.builders import a_mapping, a_rule
from tests.sources.builders import NOW, read
from tests.sources.database_types import SETUP, TYPES, NativeType, as_markdown

DOCS = Path(__file__).parent.parent.parent / "docs" / "databases.md"

Made = Callable[[NativeType], str]


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A table with one value of a type, as a URL."""

    def make(kind: NativeType) -> str:
        name = re.sub(r" \(an? .*\)| \(of .*\)", "", kind.type)
        if kind.database == "sqlite":
            name = kind.type
        statements = [
            f"create table typed (name varchar(20), v {name})",
            f"insert into typed values ('Kiwi', {kind.value})",  # noqa: S608 - ours
        ]
        if kind.database == "sqlite":
            with closing(sqlite3.connect(tmp_path / "typed.db")) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()
            return f"sqlite:///{tmp_path}/typed.db"
        server = request.getfixturevalue(kind.database)
        server.execute(*(needed for needed in SETUP[kind.database] if needed.split()[2].rstrip(";") in kind.type))
        loose = ["set sql_mode = ''"] if kind.database == "mariadb" else []  # else it takes no date that is none
        server.execute(*loose, *statements)
        return str(server.url())

    return make


def the_rule(field: str) -> ColumnRule:
    """The rule that maps the column `v` to a field of this kind."""
    return a_rule(field if field in {"role", "tags"} else "metadata.v", "v", ColumnKind(field))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: f"{kind.database}-{kind.type}-{kind.field}")
def test_a_type_arrives_as_the_docs_say(kind: NativeType, made: Made) -> None:
    """From the database into the form that is compared and sent."""
    mapping = (
        a_mapping("name", uid=a_rule("uid", "v"))
        if kind.field == "uid"
        else a_mapping("name", the_rule(kind.field))
    )
    source = Source(location=made(kind), query="select 'kiwi' as id, name, v from typed")

    desired = desire(read_export(source, lambda _: mapping, NOW).frame, mapping)

    assert desired.quarantined == ()
    field = "uid" if kind.field == "uid" else mapping.rules[-1].field
    value = desired.users[field].tolist()[0]
    arrived = value if isinstance(value, str) else None
    if field == "uid" or (field == "role" and arrived is not None):
        arrived = f'"{arrived}"'
    assert arrived == (None if kind.arrives is None else normal(kind.arrives))


def normal(arrives: str) -> str:
    """The normal form of the JSON that the table prints."""

    return canonical_json(as_json("tags", arrives)) or ""


@pytest.mark.parametrize("database", ["postgresql", "mariadb", "sqlite"])
def test_the_docs_print_the_table(database: str) -> None:
    """All of it, as the tests hold the readers to it."""
    assert as_markdown(database) in DOCS.read_text("utf-8")


@pytest.mark.parametrize(
    ("database", "type_", "value"),
    [("postgresql", "bytea", r"'\xff'"), ("mariadb", "binary(2)", "x'ff00'"), ("sqlite", "blob", "x'ff'")],
)
def test_bytes_that_are_no_text_are_refused_by_the_name_of_their_column(
    database: str, type_: str, value: str, made: Made
) -> None:
    """And the remedy is in the query."""
    url = made(NativeType(database, type_, value, "text", None))

    with pytest.raises(SourceError) as refused:
        read(url, query="select v as id, name from typed")

    assert "the column 'id' holds bytes that are not UTF-8" in refused.value.message
    assert "hex()" in refused.value.hint
