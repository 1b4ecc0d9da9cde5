"""Thousands of generated files: whole ones, mutated ones and cut ones."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconcile.errors import SourceError
from reconcile.sources import Export, text
from tests.scale import dice, how_many
from tests.sources.builders import Cells, cells, ragged, read_text
from tests.sources.by_python import csv_records
from tests.sources.generated import MAPPED, Made, lines_of, make, packed, read_in_small_blocks

Record = Callable[[str, object], None]

BATCHES = 10
FILES = how_many(2_000, soak=20_000) // BATCHES
MUTANTS = how_many(1_000, soak=10_000) // BATCHES
CUTS = how_many(500, soak=5_000) // BATCHES


@pytest.fixture
def outcomes(record_property: Record) -> Iterator[Counter[str]]:
    """What became of the files; the end of the test run prints the sums."""
    counter: Counter[str] = Counter()
    yield counter
    for outcome, count in counter.items():
        record_property(f"outcome: {outcome}", count)


def cases(kind: str, batch: int, count: int) -> Iterator[Random]:
    """The dice of each case of a batch."""
    return (dice(f"{kind} {batch} {case}") for case in range(count))


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_generated_file_reads_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """Every cell, every line, every row that is out; in any form, and with borders of blocks anywhere."""
    for roll in cases("whole", batch, FILES):
        made = make(roll)
        is_packed = roll.random() < 0.2
        data, name = (packed(made.data, roll), "users.csv.gz") if is_packed else (made.data, "users.csv")

        export = read_in_small_blocks(monkeypatch, roll, tmp_path, data, name, **made.settings)

        assert (cells(export), ragged(export)) == (made.rows, made.out), made
        assert bool(export.notes) is not made.text.endswith(("\n", "\r"))
        outcomes["whole: read"] += 1


def mutated(data: bytes, roll: Random) -> bytes:
    """Flip, put in, take out or cut off a few bytes, with a liking for those that mean something."""
    damaged = bytearray(data)
    for _ in range(roll.randint(1, 3)):
        at = roll.randrange(len(damaged) + 1)
        byte = roll.choice([roll.randrange(256), *b'",;\n\r\0\t|'])
        match roll.choice(["flip", "flip", "in", "in", "out", "cut"]):
            case "flip":
                damaged[at : at + 1] = bytes([byte])
            case "in":
                damaged[at:at] = bytes([byte])
            case "out":
                del damaged[at : at + roll.randint(1, 3)]
            case _:
                del damaged[at + len(damaged) // 2 :]
    return bytes(damaged)


def check_mutant(made: Made, data: bytes, export: Export) -> str:
    """
    Hold a mutant that was read against Python's own reader of CSV.

    Every record is read or out, once; what is read has every cell in its own column. Python says nothing about
    quotes that are not doubled, so a row may be out that it takes.
    """
    header, records = csv_records(data.decode(made.codec), made.delimiter)
    at = [header.index(name) for name in MAPPED]
    expected = {line: (line, *(row[i] for i in at)) for line, row in records if len(row) == len(header)}
    found, out = cells(export), ragged(export)

    assert sorted([row[0] for row in found] + out) == [line for line, _ in records]
    assert all(expected[row[0]] == row for row in found)
    if (found, out) == (made.rows, made.out):
        return "the same"
    return "rows out" if out else "other cells"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_mutated_file_is_refused_or_every_record_of_it_is_read_or_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """Once, and never with a cell in another column."""
    for roll in cases("mutant", batch, MUTANTS):
        made = make(roll, tidy=True)
        data = mutated(made.data, roll)
        try:
            export = read_in_small_blocks(monkeypatch, roll, tmp_path, data, "users.csv", **made.settings)
        except SourceError:
            outcomes["mutant: refused"] += 1
        else:
            outcomes[f"mutant: {check_mutant(made, data, export)}"] += 1


@pytest.mark.parametrize("batch", range(BATCHES))
def test_an_untouched_row_of_a_mutated_file_keeps_its_cells(tmp_path: Path, batch: int) -> None:
    """
    Whatever stands around it: only a record on the changed line may be another.

    Quotes stay as they are. One more or one less may turn outside and inside round in well-formed text.
    """
    for roll in cases("untouched", batch, MUTANTS // 4):
        made = make(roll, tidy=True, without='"')
        start = roll.randrange(len(made.text) + 1)
        end = start + roll.randrange(3) * ('"' not in made.text[start : start + 2])
        text = made.text[:start] + roll.choice(",;x\n\r") + made.text[end:]
        known = {row[1]: row[1:] for row in made.rows}
        try:
            export = read_text(tmp_path, text.encode(made.codec), *MAPPED[1:], **made.settings)
        except SourceError:
            continue

        touched = {uid for uid, (first, last) in made.spans.items() if first <= end and start <= last}
        line, found = 1 + lines_of(text[:start]), cells(export)
        starts = sorted([row[0] for row in found] + ragged(export))
        for row in found:
            behind = next((other for other in starts if other > row[0]), line)
            # A change at a line end may join the line above, or what stands below.
            spans_it = row[0] <= line + 1 <= behind + 1
            if row[1] in known and row[1] not in touched and not spans_it:
                assert row[1:] == known[row[1]], (made, text)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_mutated_gzip_is_refused_or_reads_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """Only where nothing depends on a byte, such as the time in the head, does it pass."""
    for roll in cases("gzip", batch, MUTANTS // 4):
        made = make(roll, tidy=True)
        data = mutated(packed(made.data, roll), roll)
        try:
            export = read_in_small_blocks(monkeypatch, roll, tmp_path, data, "users.csv.gz", **made.settings)
        except SourceError:
            outcomes["gzip mutant: refused"] += 1
            continue

        assert cells(export) == made.rows
        outcomes["gzip mutant: the same"] += 1


def check_cut(known: Cells, export: Export, data: bytes) -> str:
    """A file that was cut short gives rows of the whole one, but for the last cell of an unterminated last row."""
    found = cells(export)
    kind = "whole rows"
    if found and found[-1] not in known:
        assert export.notes
        found.pop()
        kind = "a cut last cell, and said so"

    assert found == known[: len(found)]
    assert len(ragged(export)) <= 1
    return "a cut last row, out" if export.ragged else kind


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_cut_csv_is_refused_or_gives_whole_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """A row that is lost leaves a trace, unless the cut is at the end of a line."""
    for roll in cases("cut", batch, CUTS):
        made = make(roll, tidy=True)
        data = made.data[: roll.randrange(len(made.data))]
        try:
            export = read_in_small_blocks(monkeypatch, roll, tmp_path, data, "users.csv", **made.settings)
        except SourceError:
            outcomes["csv cut: refused"] += 1
            continue

        outcomes[f"csv cut: {check_cut(made.rows, export, data)}"] += 1


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_cut_gzip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """At every byte of it."""
    for roll in cases("cut gzip", batch, CUTS):
        made = make(roll, tidy=True)
        data = packed(made.data, Random(1))  # noqa: S311 - one part: between two there is nothing to tell
        with pytest.raises(SourceError):
            read_text(tmp_path, data[: roll.randrange(len(data))], name="users.csv.gz", **made.settings)
        outcomes["gzip cut: refused"] += 1


def a_jsonl(roll: Random) -> tuple[bytes, Cells]:
    """Lines of JSON, some blank and some no objects, and the rows that they hold."""
    lines, rows = [], []
    for line in range(1, roll.randrange(2, 12)):
        cell = "".join(roll.choice('ab"\\{}:,é\N{OWL}\n') for _ in range(roll.randrange(6)))
        lines.append(json.dumps({"id": f"u{line}", "name": cell}, ensure_ascii=roll.random() < 0.5))
        rows.append((line, f"u{line}", cell))
    return "".join(f"{line}\n" for line in lines).encode(), rows


@pytest.mark.parametrize("batch", range(BATCHES))
def test_cut_and_mutated_json_lines_are_refused_or_read_as_far_as_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Counter[str], batch: int
) -> None:
    """Rows are as they were but where a byte was changed; a cut line is never taken for a whole one."""
    for roll in cases("json", batch, CUTS):
        monkeypatch.setattr(text, "CHUNK", roll.choice([16, 64, 1 << 20]))
        data, known = a_jsonl(roll)
        for kind, damaged in (("cut", data[: roll.randrange(len(data))]), ("mutant", mutated(data, roll))):
            try:
                export = read_text(tmp_path, damaged, name="users.jsonl")
            except SourceError:
                outcomes[f"json {kind}: refused"] += 1
                continue

            found, size = cells(export), len(damaged.splitlines())
            assert len(found) + len(export.ragged) <= size
            assert kind == "mutant" or found == known[: len(found)]
            outcomes[f"json {kind}: read, {'with' if export.ragged else 'without'} rows out"] += 1


def a_parquet(folder: Path, roll: Random) -> tuple[bytes, Cells]:
    """A Parquet file in one of its forms, and its rows."""
    rows = [(n, f"u{n}", roll.choice(["", "Kiwi", "\N{OWL}" * 5, None])) for n in range(1, roll.randrange(2, 40))]
    table = pa.table(
        {"id": [uid for _, uid, _ in rows], "name": pa.array([name for *_, name in rows], pa.string())}
    )
    compression, size = roll.choice(["none", "snappy", "zstd", "gzip"]), roll.choice([1, 7, 100])
    # Without checksums a flipped byte of a value is another value, as in any file.
    pq.write_table(
        table, folder / "whole.parquet", compression=compression, row_group_size=size, write_page_checksum=True
    )
    return (folder / "whole.parquet").read_bytes(), rows


@pytest.mark.parametrize("batch", range(BATCHES))
def test_cut_parquet_is_refused_and_mutated_parquet_never_ends_the_process(
    tmp_path: Path, outcomes: Counter[str], batch: int
) -> None:
    """Its table of contents stands at its end, and its pages have checksums where the writer put them."""
    for roll in cases("parquet", batch, CUTS):
        data, known = a_parquet(tmp_path, roll)
        assert cells(read_text(tmp_path, data, name="users.parquet")) == known
        with pytest.raises(SourceError):
            read_text(tmp_path, data[: roll.randrange(len(data))], name="users.parquet")
        outcomes["parquet cut: refused"] += 1
        try:
            export = read_text(tmp_path, mutated(data, roll), name="users.parquet")
        except SourceError:
            outcomes["parquet mutant: refused"] += 1
        else:
            outcomes[f"parquet mutant: {'the same' if cells(export) == known else 'other cells'}"] += 1
