"""Promises about delimited text: every form that an export comes in, and the exact line of every row."""

import csv
import gzip
import io
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconcile.core.frame import desire
from reconcile.errors import SourceError
from reconcile.sources import Export
from tests.sources.builders import NOW, Cells, cells, ragged, read, read_text, refused

BOM = "\ufeff"
PLAIN = "id,name\nkiwi,Kiwi\nowl,Eule\n"
TWO: Cells = [(2, "kiwi", "Kiwi"), (3, "owl", "Eule")]

many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", ["", "eol"])
def test_line_ends_of_every_kind_work(tmp_path: Path, eol: str, end: str) -> None:
    """With and without one at the end of the file, which is noted."""
    text = PLAIN.rstrip("\n") + ("\n" if end else "")

    export = read_text(tmp_path, text.replace("\n", eol))

    assert cells(export) == TWO
    assert bool(export.notes) is not bool(end)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, codec: str) -> None:
    """Nothing has to be named, and the mark is no part of the first column."""
    export = read_text(tmp_path, (BOM + "id,name\nkiwi,Kiwí \N{OWL}\n").encode(codec))

    assert cells(export) == [(2, "kiwi", "Kiwí \N{OWL}")]
    assert export.columns == ("id", "name")


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("windows-1252", "Kiwí – “x”"),
        ("latin-1", "Kiwí"),
        ("shift_jis", "キウイ"),
        ("koi8-r", "киви"),
        ("utf-16-le", "Kiwí"),
        ("utf-16", "Kiwí"),
        ("utf-8-sig", "Kiwí"),
    ],
)
def test_any_other_encoding_is_named(tmp_path: Path, codec: str, name: str) -> None:
    """Whatever Python decodes."""
    export = read_text(tmp_path, f"id,name\nkiwi,{name}\n".encode(codec), encoding=codec)

    assert cells(export) == [(2, "kiwi", name)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed_from_the_header(tmp_path: Path, delimiter: str) -> None:
    """What stands inside quotes is no delimiter."""
    text = f'id{delimiter}"name;,|,;|,;|"{delimiter}name\nkiwi{delimiter}x{delimiter}"a{delimiter}b"\n'

    assert cells(read_text(tmp_path, text)) == [(2, "kiwi", f"a{delimiter}b")]


def test_a_delimiter_of_another_kind_is_named(tmp_path: Path) -> None:
    """Then nothing is guessed."""
    export = read_text(tmp_path, "id^name,x\nkiwi^a,b\n", "name,x", delimiter="^")

    assert cells(export) == [(2, "kiwi", "a,b")]


@pytest.mark.parametrize(
    "text", ["0012", "NA", "null", "None", "1e5", "TRUE", "-", "1.50", "2026-11-23", "  x ", "#N/A", "inf"]
)
def test_a_cell_is_the_text_that_it_is(tmp_path: Path, text: str) -> None:
    """No reader turns it into a number or into nothing."""
    assert cells(read_text(tmp_path, f"id,name\n{text},{text}\n")) == [(2, text, text)]


def test_quotes_hold_delimiters_quotes_and_line_breaks(tmp_path: Path) -> None:
    """And the row below still has its own line."""
    text = 'id,name\nkiwi,"a,""b""\r\nc\rd\ne"\nowl,""\n'

    assert cells(read_text(tmp_path, text)) == [(2, "kiwi", 'a,"b"\r\nc\rd\ne'), (6, "owl", "")]


def test_a_quote_in_the_middle_of_a_cell_is_a_quote(tmp_path: Path) -> None:
    """It opens nothing."""
    assert cells(read_text(tmp_path, 'id,name\nkiwi,5" tall\nowl,x\n')) == [
        (2, "kiwi", '5" tall'),
        (3, "owl", "x"),
    ]


def test_blank_lines_say_nothing_and_rows_of_empty_cells_are_damage(tmp_path: Path) -> None:
    """Lines go on counting over both."""
    export = read_text(tmp_path, "id,name\n\nkiwi,Kiwi\n\r\n\n,\nowl,Eule\n\n")

    assert cells(export) == [(3, "kiwi", "Kiwi"), (6, "", ""), (7, "owl", "Eule")]


def test_a_blank_line_inside_quotes_is_a_part_of_the_cell(tmp_path: Path) -> None:
    """Only what stands between rows is blank."""
    export = read_text(tmp_path, 'id,name\n"\n\n",""\n\nkiwi,Kiwi\n')

    assert cells(export) == [(2, "\n\n", ""), (6, "kiwi", "Kiwi")]


def test_rows_of_another_width_are_quarantined_by_line(tmp_path: Path) -> None:
    """Before, between and behind good rows, with line breaks inside."""
    text = 'id,name\nx\nkiwi,Kiwi\n"a\nb",c,d\nowl,Eule\nx,y,z\n'

    export = read_text(tmp_path, text)

    assert cells(export) == [(3, "kiwi", "Kiwi"), (6, "owl", "Eule")]
    assert ragged(export) == [2, 4, 7]
    assert export.ragged[1].detail == "the row has 3 cells and the header 2"
    assert export.ragged[1].uid is None


def test_only_mapped_columns_are_kept(tmp_path: Path) -> None:
    """In the order of the mapping; the others are known by name."""
    export = read_text(tmp_path, "secret,name,id\nx,Kiwi,kiwi\n")

    assert cells(export) == [(2, "kiwi", "Kiwi")]
    assert export.columns == ("secret", "name", "id")


def test_a_header_over_several_lines_moves_the_rows_down(tmp_path: Path) -> None:
    """Names of columns are trimmed."""
    export = read_text(tmp_path, '" id ","na\nme",name\nkiwi,x,Kiwi\n')

    assert cells(export) == [(3, "kiwi", "Kiwi")]


def test_a_header_alone_is_an_export_of_nobody(tmp_path: Path) -> None:
    """Whether that may be is a guard's matter."""
    assert cells(read_text(tmp_path, "id,name\n")) == []
    assert cells(read_text(tmp_path, "id,name")) == []


@pytest.mark.parametrize("parts", [[PLAIN], ["id,name\nkiwi,Kiwi\n", "owl,Eule\n"]])
def test_gzip_works_in_one_part_and_in_several(tmp_path: Path, parts: list[str]) -> None:
    """The hash is of the bytes in the file."""
    data = b"".join(gzip.compress(part.encode()) for part in parts)
    export = read_text(tmp_path, data, name="users.csv.GZ")

    assert cells(export) == TWO
    assert export.sha256 == sha256(data).hexdigest()


def test_standard_input_is_read_by_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of now, and named in what is said about it."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PLAIN.encode().rstrip())))

    export = read("-")

    assert cells(export) == TWO
    assert export.as_of_unix_s == NOW
    assert export.notes == ("standard input has no line end at its end: was it cut short?",)


def test_a_file_of_many_blocks_keeps_every_line(tmp_path: Path) -> None:
    """Over more than the reader takes at a time, with breaks in cells and line ends at every offset."""
    rows = [(f"bird-{n}", "x" * (n % 97) + ("\r\n" if n % 5 == 0 else "")) for n in range(60_000)]
    text = "id,name\r\n" + "".join(f'{uid},"{name}"\r\n' for uid, name in rows)
    line, expected = 2, []
    for uid, name in rows:
        expected.append((line, uid, name))
        line += 1 + name.count("\r\n")

    assert len(text) > 3 << 20
    assert cells(read_text(tmp_path, text)) == expected


@pytest.mark.parametrize("shift", range(3))
def test_a_line_break_in_a_cell_survives_where_the_file_is_cut_into_chunks(tmp_path: Path, shift: int) -> None:
    """A CRLF that straddles the border stays a CRLF."""
    head = 'id,name\nkiwi,"a'
    name = "x" * ((1 << 20) - len(head) - shift)

    ((_, _, read_name), last) = cells(read_text(tmp_path, f'{head}{name}\r\nb"\r\nowl,Eule\r\n'))

    assert read_name == f"a{name}\r\nb"
    assert last == (4, "owl", "Eule")


# Refusals


@pytest.mark.parametrize("text", ["", "\n", "   \r\n", BOM, "\n\nid,name\n"])
def test_an_export_without_a_header_is_refused(tmp_path: Path, text: str) -> None:
    """An empty file says nothing about anybody."""
    assert "is empty" in refused(tmp_path, text)


def test_a_mapped_column_that_is_missing_is_named_with_the_nearest() -> None:
    """All of them at once."""
    with pytest.raises(SourceError) as caught:
        read("tests/../samples/users.csv", "nmae", "zzz")

    assert "'nmae' is missing" in caught.value.message
    assert "'zzz' is missing" in caught.value.message
    assert "there are: " in caught.value.hint


def test_the_nearest_name_is_offered(tmp_path: Path) -> None:
    """Most often it is a typing mistake."""
    assert "did you mean 'name'?" in refused(tmp_path, "id,name\n", "nmae")


def test_a_mapped_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Nobody knows which one is meant; an unmapped one may be there as often as it likes."""
    assert "'name' is there 2 times" in refused(tmp_path, "id,name,name \nkiwi,a,b\n")
    assert cells(read_text(tmp_path, "x,id,x,name\n1,kiwi,2,Kiwi\n")) == [(2, "kiwi", "Kiwi")]


@pytest.mark.parametrize(
    ("text", "line"),
    [("id,name\nkiwi,Ki\0wi\n", 2), ('id,name\n"a\nb",x\r\n\nowl,\0\n', 5), ("id\0,name\n", 1)],
)
def test_a_nul_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """No text file has one."""
    assert f"users.csv:{line}: there is a NUL byte" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "encoding", "line"),
    [
        (b"id,name\nkiwi,Kiw\xed\n", "", 2),
        (b"id,name\r\nkiwi,Kiwi\r\nowl,\xc3\r\n", "", 3),
        (b"id,name\nkiwi,Kiwi\nowl,\xc3", "", 3),
        (b"id,name\nkiwi,\x81\n", "windows-1252", 2),
        ("id,name\nkiwi,Kiwi\n".encode("utf-16")[:-1], "", 2),
    ],
)
def test_bytes_that_do_not_decode_are_refused_with_their_line(
    tmp_path: Path, data: bytes, encoding: str, line: int
) -> None:
    """And the remedy: name the encoding."""
    words = refused(tmp_path, data, encoding=encoding)

    assert f"users.csv:{line}: the bytes do not decode" in words
    assert "source.encoding" in words


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", "base64"])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    """Also those of Python's codecs that are not about text."""
    assert "Python knows no encoding" in refused(tmp_path, PLAIN, encoding=encoding)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('id,name\nkiwi,"Kiwi\n', 2),
        ('id,name\nkiwi,Kiwi\nowl,"Eu\nle\nwren,x\n', 3),
        ('id,name\nkiwi,"Kiwi', 2),
        ('id,name\nkiwi,"Kiwi""', 2),
        ('id,name,x\nkiwi,"a"b,"cut', 2),
        ('id,name\nkiwi,"', 2),
        ('id,name\r\n\r\nkiwi,"\r\n\r\n', 3),
        ('id,name\nkiwi,"' + "x\n" * 70_000, 2),
    ],
)
def test_a_quote_that_is_open_at_the_end_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    """The file was cut, or the quote swallowed everybody below it."""
    assert f"users.csv:{line}: a quote" in refused(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        'id,name,"x\nkiwi,Kiwi,1\n',
        'id,name,5"\nkiwi,Kiwi,1\nowl,Eule,7"\nwren,x,y\n',
        'id,name,5"\nkiwi,Kiwi,1\n',
        f'id,name,"{"x" * 200_000}\nkiwi,Kiwi,1\n',
    ],
)
def test_a_quote_in_the_header_never_hides_the_rows_below_it(tmp_path: Path, text: str) -> None:
    """Rows that are swallowed are users that would be switched off."""
    assert "users.csv:1: " in refused(tmp_path, text)


@pytest.mark.parametrize(
    "record", ['kiwi,"' + "x\n" * (2 << 20), "kiwi," + "x" * (5 << 20) + "\n", "x," * (2 << 20)]
)
def test_a_record_longer_than_any_user_is_refused(tmp_path: Path, record: str) -> None:
    """With the line from which on it was looked for, in bounded memory."""
    words = refused(tmp_path, f"id,name\nowl,Eule\n{record}\nwren,Wren\n")

    assert "users.csv:3: a record from here on is longer than 1 MiB" in words
    assert "a quote was probably left open" in words


def test_a_refused_export_does_not_abort_the_process_at_its_end(tmp_path: Path) -> None:
    """Nobody reads ahead in another thread, and the exit code is ours."""
    path = tmp_path / "users.csv"
    path.write_text("id,name\nkiwi," + "x" * (3 << 20) + "\n" + "owl,Eule\n" * 300_000)
    code = f"""
from tests.sources.builders import read
try:
    read({str(path)!r})
except Exception as error:
    raise SystemExit(6)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (6, b"")


@pytest.mark.parametrize("name", ["users.csv.gz", "users.jsonl.gz"])
def test_gzip_that_ends_early_or_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """At every length, but for the whole."""
    whole = gzip.compress(PLAIN.encode() if "csv" in name else b'{"id": "kiwi", "name": "Kiwi"}\n')

    for length in range(1, len(whole)):
        assert "gzip" in refused(tmp_path, whole[:length], name=name)
    assert "gzip" in refused(tmp_path, whole + b"more", name=name)
    assert "gzip" in refused(tmp_path, PLAIN, name=name)


# Properties

texts = st.text(st.sampled_from('ab ,;"\n\r\té\N{OWL}'), max_size=5) | st.sampled_from(
    ["\r\n", '""', "a\r\n\r\nb"]
)
eols = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def well_formed(draw: st.DrawFn, *, tidy: bool = False) -> str:
    """A well-formed file of three columns; unless tidy, with rows of another width and lines that are blank."""
    lines = ["id,name,role"]
    for _ in range(draw(st.integers(0, 8))):
        width = draw(st.sampled_from([3] if tidy else [3, 3, 3, 3, 1, 2, 4]))
        row = draw(st.lists(texts, min_size=width, max_size=width))
        lines.append(",".join(_cell(text, quoted=draw(st.booleans()) or width == 1) for text in row))
        lines.extend([""] * draw(st.sampled_from([0] if tidy else [0, 0, 1, 2])))
    ends = draw(st.sampled_from([None, "\n", "\r\n", "\r"]))
    text = "".join(line + (ends or draw(eols)) for line in lines)
    return text if draw(st.booleans()) else text.removesuffix("\n").removesuffix("\r")


def _cell(text: str, *, quoted: bool) -> str:
    quoted = quoted or any(character in text for character in ',"\r\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text


def by_python(text: str) -> tuple[Cells, list[int]]:
    """The rows by line, and the lines of ragged ones, as Python's own reader sees them."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    next(reader)
    rows, odd, line = [], [], reader.line_num
    for row in reader:
        if len(row) == 3:
            rows.append((line + 1, *row))
        elif row:
            odd.append(line + 1)
        line = reader.line_num
    return rows, odd


@settings(many, max_examples=200)
@given(text=well_formed(), codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
@example(text="id,name,role\r\r\n,,\n", codec="utf-8")
def test_every_well_formed_file_reads_as_pythons_own_reader_reads_it(
    tmp_path: Path, text: str, codec: str
) -> None:
    """Cells, lines and ragged rows."""
    export = read_text(tmp_path, text.encode(codec), "name", "role", delimiter=",")

    assert (cells(export), ragged(export)) == by_python(text)


def check_cut(tmp_path: Path, whole: Export, data: bytes) -> None:
    """A file that was cut short is refused, or its rows are rows of the whole one."""
    try:
        export = read_text(tmp_path, data, "name", "role", name="cut.csv", delimiter=",")
    except SourceError:
        return
    found, known = cells(export), cells(whole)
    if found and found[-1] not in known:
        # Only inside the last cell of an unterminated last row can a cut not be told.
        assert not data.endswith((b"\n", b"\r"))
        *start, last = found.pop()
        assert any(row[:-1] == tuple(start) and row[-1].startswith(last) for row in known)
    assert found == known[: len(found)]
    assert len(ragged(export)) <= 1


@settings(many, max_examples=6)
@given(text=well_formed(tidy=True))
@example(text='id,name,role\r\nkiwi,"a ""b"",\r\nc",vip\r\nowl,Eulé,"x\n"\r\nwren,,""\r\n')
def test_a_file_cut_anywhere_is_refused_or_gives_whole_rows(tmp_path: Path, text: str) -> None:
    """At every byte."""
    whole = read_text(tmp_path, text, "name", "role", delimiter=",")

    for length in range(len(text.encode())):
        check_cut(tmp_path, whole, text.encode()[:length])


def test_a_cut_row_never_frees_anybody_to_be_deactivated(tmp_path: Path) -> None:
    """Its user is quarantined without a uid, and that holds the class."""
    export = read_text(tmp_path, "id,name\nkiwi,Kiwi\now")

    assert desire(export.frame, export.mapping, export.ragged).nameless == 1
