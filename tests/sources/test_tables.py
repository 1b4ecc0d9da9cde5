"""Promises about Parquet and JSON lines: every value becomes the text that it stands for."""

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.core.frame import desire
from reconcile.core.mapping import ColumnKind, ColumnRule, Template
from reconcile.core.shape import empty_counts, empty_shares
from reconcile.core.trace import trace
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import read_export
from tests.builders import a_mapping, a_rule
from tests.sources.builders import NOW, Cells, cells, ragged, read, read_text, refused

JSONL = "users.jsonl"
BROKEN_TEXT = pa.StringArray.from_buffers(1, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe"))


def a_parquet(folder: Path, **columns: Any) -> Path:
    """A Parquet file with these columns, and an id where none is given."""
    data = {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    length = len(next(iter(data.values())))
    pq.write_table(
        pa.table({"id": pa.array([f"bird-{n}" for n in range(length)])} | data), folder / "users.parquet"
    )
    return folder / "users.parquet"


def names(folder: Path, column: pa.Array) -> list[object]:
    """What a column of names is read as."""
    return [row[2] for row in cells(read(a_parquet(folder, name=column)))]


@pytest.mark.parametrize(
    ("column", "read_as"),
    [
        (pa.array(["0012", "", None, "NA"]), ["0012", "", None, "NA"]),
        (pa.array([12, -3, None]), ["12", "-3", None]),
        (pa.array([2**63], pa.uint64()), ["9223372036854775808"]),
        (pa.array([1.0, 1.5, None]), ["1", "1.5", None]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([Decimal("1.50"), Decimal(1000)]), ["1.50", "1000.00"]),
        (pa.array([date(2026, 11, 23)]), ["2026-11-23"]),
        (
            pa.array([datetime(2026, 11, 23, 2, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            ["2026-11-23T02:00:00+00:00"],
        ),
        (pa.array([["fig", "plum"], [], None]), ['["fig","plum"]', "[]", None]),
        (pa.array([{"a": 1}, None]), ['{"a":1}', None]),
        (pa.array([b"Kiw\xc3\xad"]), ["Kiwí"]),
        (pa.array(["Kiwi", "Kiwi", None]).dictionary_encode(), ["Kiwi", "Kiwi", None]),
        (pa.array(["Kiwi"], pa.large_string()), ["Kiwi"]),
        (pa.array([None], pa.null()), [None]),
    ],
)
def test_native_values_of_parquet_become_their_text(
    tmp_path: Path, column: pa.Array, read_as: list[object]
) -> None:
    """Nothing is missing that is there, and a leading zero stays."""
    assert names(tmp_path, column) == read_as


def test_rows_of_parquet_count_from_one_over_all_batches(tmp_path: Path) -> None:
    """And the hash is that of the file."""
    path = a_parquet(tmp_path, name=[f"Bird {n}" for n in range(70_000)])
    export = read(path)

    assert export.frame["source_row"].tolist() == list(range(1, 70_001))
    assert export.frame["name"].tolist()[-1] == "Bird 69999"
    assert export.sha256 == sha256(path.read_bytes()).hexdigest()


def test_an_empty_parquet_file_is_an_export_of_nobody(tmp_path: Path) -> None:
    """All columns are there."""
    export = read(a_parquet(tmp_path, name=pa.array([], pa.int64())))

    assert cells(export) == []
    assert export.columns == ("id", "name")


@pytest.mark.parametrize("broken", [BROKEN_TEXT, pa.array([b"\xff"])])
def test_bytes_in_parquet_that_are_no_text_are_refused(tmp_path: Path, broken: pa.Array) -> None:
    """Also where the file calls them text."""
    with pytest.raises(SourceError, match=r"UTF-?8"):
        read(a_parquet(tmp_path, name=broken))


def test_a_parquet_file_that_was_cut_or_is_none_is_refused(tmp_path: Path) -> None:
    """Its end is where its table of contents is."""
    whole = a_parquet(tmp_path, name=["Kiwi", "Eule"]).read_bytes()

    for length in (0, 1, 4, len(whole) // 2, len(whole) - 1):
        assert "is not a readable Parquet file" in refused(tmp_path, whole[:length], name="users.parquet")
    assert "is not a readable Parquet file" in refused(tmp_path, "id,name\n", name="users.parquet")


def test_parquet_of_a_billion_rows_in_a_few_bytes_is_refused(tmp_path: Path) -> None:
    """It would fill the memory, and nobody has so many users of one name."""
    column = pa.array(["kiwi"] * 2_000_000).dictionary_encode()
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"id": column, "name": column}), path, row_group_size=2_000_000)

    with pytest.raises(SourceError, match="claims 2,000,000 rows in so few bytes"):
        read(path)


def test_damage_inside_a_parquet_file_is_refused(tmp_path: Path) -> None:
    """What does not unpack is not believed."""
    whole = a_parquet(tmp_path, name=["Kiwi", "Eule"]).read_bytes()

    assert "users.parquet" in refused(tmp_path, whole[:4] + b"\xff" * 60 + whole[64:], name="users.parquet")


def test_mapped_columns_of_parquet_are_there_once(tmp_path: Path) -> None:
    """As in every other format."""
    pq.write_table(pa.table([pa.array(["kiwi"])] * 2, names=["id", "id"]), tmp_path / "users.parquet")

    with pytest.raises(SourceError, match="'id' is there 2 times; the mapped column 'name' is missing"):
        read(tmp_path / "users.parquet")


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ('"0012"', "0012"),
        ("12", "12"),
        ("1e5", "1e5"),
        ("1.50", "1.50"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("true", "true"),
        ("null", None),
        ('""', ""),
        ('"Kiw\\u00ed \\"x\\"\\n"', 'Kiwí "x"\n'),
        ('["fig", "plum"]', '["fig", "plum"]'),
        ('{"a": 1.0}', '{"a": 1.0}'),
    ],
)
def test_values_of_json_keep_the_text_that_they_are_written_in(
    tmp_path: Path, value: str, read_as: str | None
) -> None:
    """A number is not read as one."""
    export = read_text(tmp_path, f'{{"id": "kiwi", "name": {value}}}\n', name=JSONL)

    assert cells(export) == [(1, "kiwi", read_as)]


TYPED = [
    # value, as text, as number, as boolean, as json; "no" is a row that cannot be trusted
    ('"Kiwi"', '"Kiwi"', "no", "no", '"Kiwi"'),
    ('"12"', '"12"', "12", "no", '"12"'),
    ('"true"', '"true"', "no", "true", '"true"'),
    ('"Kiw\\u00ed \\"x\\""', '"Kiwí \\"x\\""', "no", "no", '"Kiwí \\"x\\""'),
    ('"[1]"', '"[1]"', "no", "no", '"[1]"'),
    ("12", '"12"', "12", "no", "12"),
    ("1.50", '"1.50"', "1.5", "no", "1.5"),
    ("1", '"1"', "1", "true", "1"),
    ("true", '"true"', "no", "true", "true"),
    ("false", '"false"', "no", "false", "false"),
    ("null", None, None, None, None),
    ('""', None, None, None, '""'),
    ('["a", 1, "2"]', '"[\\"a\\", 1, \\"2\\"]"', "no", "no", '["a",1,"2"]'),
    ('{"b": "1", "a": null}', '"{\\"b\\": \\"1\\", \\"a\\": null}"', "no", "no", '{"a":null,"b":"1"}'),
]


def a_parquet_of_json(folder: Path, value: str) -> Path:
    """One user with a value in a column that the file itself calls JSON."""
    path = folder / "users.parquet"
    columns = {"id": pa.array(["kiwi"]), "name": pa.array(["Kiwi"]), "v": pa.array([value], pa.json_())}
    pq.write_table(pa.table(columns), path)
    return path


def some_json_lines(folder: Path, value: str) -> Path:
    """The same as a line."""
    path = folder / JSONL
    path.write_text(f'{{"id": "kiwi", "name": "Kiwi", "v": {value}}}\n', "utf-8")
    return path


@pytest.mark.parametrize("written", [some_json_lines, a_parquet_of_json], ids=["json lines", "parquet"])
@pytest.mark.parametrize("kind", [ColumnKind.TEXT, ColumnKind.NUMBER, ColumnKind.BOOLEAN, ColumnKind.JSON])
@pytest.mark.parametrize("row", TYPED, ids=[row[0] for row in TYPED])
def test_a_value_that_is_json_is_read_as_the_type_of_its_key(
    tmp_path: Path, row: tuple[str | None, ...], kind: ColumnKind, written: Callable[[Path, str], Path]
) -> None:
    """Where JSON is wanted, a string stays a string, also one that looks like a number."""
    expected = row[1 + ["text", "number", "boolean", "json"].index(kind)]
    mapping = a_mapping("name", a_rule("metadata.v", "v", kind))
    export = read_export(Source(str(written(tmp_path, str(row[0])))), lambda _: mapping, NOW)
    desired = desire(export.frame, mapping, export.ragged)

    found = [value if isinstance(value, str) else None for value in desired.users["metadata.v"]]
    assert (found, len(desired.quarantined)) == (([], 1) if expected == "no" else ([expected], 0))


@pytest.mark.parametrize("written", [some_json_lines, a_parquet_of_json], ids=["json lines", "parquet"])
def test_one_json_value_is_read_as_each_of_its_fields_wants_it(
    tmp_path: Path, written: Callable[[Path, str], Path]
) -> None:
    """A text as a text, and as a part of one; what has none counts as empty for the guards, too."""
    whole = ColumnRule("metadata.whole", Template.read('{{"in": "{v}"}}'), ColumnKind.JSON)
    rules = (a_rule("metadata.v", "v", ColumnKind.JSON), whole, a_rule("statusMessage", "v"))
    mapping = a_mapping("name", *rules, uid=a_rule("uid", "v"))
    export = read_export(Source(str(written(tmp_path, '"0012"'))), lambda _: mapping, NOW)
    users = desire(export.frame, mapping).users
    nothing = read_export(Source(str(written(tmp_path, "null"))), lambda _: mapping, NOW)

    assert [users[name][0] for name in ("uid", "metadata.v", "metadata.whole", "statusMessage")] == [
        "0012", '"0012"', '{"in":"0012"}', "0012",
    ]  # fmt: skip
    assert empty_shares(empty_counts(nothing.frame, mapping), len(nothing.frame)) == {
        "name": 0.0, "metadata.v": 1.0, "metadata.whole": 1.0, "statusMessage": 1.0,
    }  # fmt: skip
    (shown,) = trace(export.frame, mapping)
    assert {field.field: field.cells["v"] for field in shown.fields if field.field != "name"} == {
        "uid": "0012", "metadata.v": '"0012"', "metadata.whole": "0012", "statusMessage": "0012",
    }  # fmt: skip


def test_a_text_of_parquet_is_read_as_one_of_csv_is(tmp_path: Path) -> None:
    """It may hold JSON, as a cell does; and what a file calls JSON and is none stands in quarantine."""
    mapping = a_mapping("name", a_rule("metadata.v", "v", ColumnKind.JSON))
    path = a_parquet(tmp_path, name=["A", "B", "C"], v=['{"a": 1}', '"Kiwi"', "Kiwi"])
    text = read_export(Source(str(path)), lambda _: mapping, NOW)
    broken = read_export(Source(str(a_parquet_of_json(tmp_path, '"Kiw'))), lambda _: mapping, NOW)

    assert desire(text.frame, mapping).users["metadata.v"].tolist() == ['{"a":1}', '"Kiwi"']
    assert [row.detail for row in desire(broken.frame, mapping).quarantined] == ["metadata.v: '\"Kiw' is not JSON"]


def test_json_lines_are_counted_over_blank_ones(tmp_path: Path) -> None:
    """A key that a line does not have is nothing; columns are all keys that occur."""
    text = '\n{"id": 1, "name": "Kiwi"}\r\n\n{"mood": "x", "id": 2}\n'

    export = read_text(tmp_path, text, name=JSONL)

    assert cells(export) == [(2, "1", "Kiwi"), (4, "2", None)]
    assert export.columns == ("id", "name", "mood")


@pytest.mark.parametrize(
    "line", ["[1]", "7", "{", '{"id": 007}', '{"name": "\\ud800"}', '{"a":' + "[" * 100_000, "id,name"]
)
def test_a_line_that_is_no_object_is_quarantined(tmp_path: Path, line: str) -> None:
    """And holds the deactivations, since nobody knows whom it meant."""
    export = read_text(tmp_path, f'{{"id": "kiwi", "name": "Kiwi"}}\n{line}\n', name=JSONL)

    assert (cells(export), ragged(export)) == ([(1, "kiwi", "Kiwi")], [2])
    assert desire(export.frame, export.mapping, export.ragged).nameless == 1


def test_json_lines_cut_anywhere_are_refused_or_give_whole_rows(tmp_path: Path) -> None:
    """At every byte."""
    text = '{"id": "kiwi", "name": "Kiwí"}\n{"id": 12, "name": "{}"}\n{"id": "owl", "name": null}\n'.encode()
    known: Cells = [(1, "kiwi", "Kiwí"), (2, "12", "{}"), (3, "owl", None)]

    for length in range(len(text)):
        try:
            found = cells(read_text(tmp_path, text[:length], name=JSONL))
        except SourceError:
            continue
        assert found == known[: len(found)]
        assert text[length - 1 : length] in {b"\n", b"}"}


@pytest.mark.parametrize("text", ["", "\n\n", "[\n]\n", '[{"id": 1}]\n'])
def test_json_without_a_single_object_is_refused(tmp_path: Path, text: str) -> None:
    """An array around them is another format."""
    assert "no line that is a JSON object" in refused(tmp_path, text, name=JSONL)


def test_json_lines_are_decoded_as_any_text_is(tmp_path: Path) -> None:
    """Encodings, gzip and NUL."""
    text = '{"id": "kiwi", "name": "Kiwí"}\n'

    assert cells(read_text(tmp_path, text.encode("utf-16"), name=JSONL)) == [(1, "kiwi", "Kiwí")]
    assert cells(read_text(tmp_path, gzip.compress(text.encode()), name=JSONL + ".gz")) == [(1, "kiwi", "Kiwí")]
    assert "NUL" in refused(tmp_path, text + "\0\n", name=JSONL)
    assert "users.jsonl:2: the bytes do not decode" in refused(tmp_path, text.encode() + b"\xff\n", name=JSONL)


def test_a_mapped_key_that_no_line_has_is_missing(tmp_path: Path) -> None:
    """With the nearest that there is."""
    assert "did you mean 'name'?" in refused(tmp_path, '{"id": 1, "name": "Kiwi"}\n', "nmae", name=JSONL)
