"""
A fuzzer that is guided by coverage: bytes that no one thought of, and what was read of them held against Python's own
readers.

`python -m tests.sources.fuzz FOLDER [libFuzzer's flags]` looks for bytes that are read wrong, or end in anything but
a refusal, and keeps in FOLDER those that led somewhere new. A process of its own: libFuzzer does not give it back.
"""

import codecs
import csv
import gzip
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["reconcile.sources", "reconcile.core.mapping"]):
    from reconcile.errors import SourceError
    from reconcile.sources import Export, files, text  # noqa: F401 - files: read with the hooks in place

from tests.sources.builders import cells, ragged, read_text
from tests.sources.by_python import csv_records, json_records

DELIMITERS = ",;\t|"
OTHER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # they name another encoding
CHUNKS = (16, 64, 1 << 10, 1 << 20)
SEEDS = (
    b'\x00id,name\nu1,Wren\nu2,"O\'Brien, ""Pat"""\n',
    b'\x05id;name\r\n\r\nu1;"two\r\nlines"\r\nu2;x;y\r\n',
    b"\x10id,name\ru1,\xc3\xa9\ru2\r",
    b'\x40{"id": "u1", "name": "Wren"}\n{"id": 7}\n\n{"id": "u2", "name": null}\n',
)


def one(data: bytes) -> None:
    """Read one input: its first byte says the form, and how much of the rest is looked at at a time."""
    if not data:
        return
    head, body = data[0], data[1:]
    if head & 0x08:
        # Else most files are refused for their first line.
        body = (f"id{DELIMITERS[head & 3]}name\n").encode() + body
    text.CHUNK = CHUNKS[head >> 4 & 3]
    is_json, is_packed, delimiter = bool(head & 0x40), bool(head & 0x80), DELIMITERS[head & 3]
    name = ("users.jsonl" if is_json else "users.csv") + ".gz" * is_packed
    more = {} if is_json else {"delimiter": delimiter, "encoding": "utf-8"}
    try:
        export = read_text(ASIDE, gzip.compress(body, 1) if is_packed else body, name=name, **more)
    except SourceError:
        return
    if body.startswith(OTHER_MARKS):
        return
    if is_json:
        check_json(body.decode(), export)
    else:
        check_csv(body, delimiter, export)


def check_csv(body: bytes, delimiter: str, export: Export) -> None:
    """Every record is read or out, once; what is read has every cell in its own column."""
    header, records = csv_records(body.decode(), delimiter)
    at = [header.index(column) for column in ("id", "name")]
    expected = {line: (line, *(row[i] for i in at)) for line, row in records if len(row) == len(header)}
    found = cells(export)
    assert sorted([row[0] for row in found] + ragged(export)) == [line for line, _ in records], (found, records)
    assert all(expected[row[0]] == row for row in found), (found, expected)


def check_json(body: str, export: Export) -> None:
    """Every line is read, blank or out; a text is the text that Python reads."""
    records = json_records(body)
    found = cells(export)
    assert {row[0] for row in found}.isdisjoint(ragged(export))
    assert {*(row[0] for row in found), *ragged(export)} == set(records), (found, ragged(export), records)
    for line, *row in found:
        for column, cell in zip(("id", "name"), row, strict=True):
            value = records[line].get(column)
            assert not isinstance(value, str) or cell == value, (line, column, cell, value)


if __name__ == "__main__":
    csv.field_size_limit(1 << 20)
    FOLDER = Path(sys.argv[1])
    for number, seed in enumerate(SEEDS):
        (FOLDER / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as aside:
        ASIDE = Path(aside)
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()
