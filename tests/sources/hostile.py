"""Files made by hand to be misread, each with what has to become of it."""

import gzip
import io
import struct
import zipfile
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["HOSTILE", "Hostile"]

CSV, PACKED, LINES, PARQUET = "users.csv", "users.csv.gz", "users.jsonl", "users.parquet"
ROW = b"kiwi,Kiwi\n"
GOOD = b"id,name\n" + ROW
ONE = b'{"id": "kiwi", "name": "Kiwi"}\n'


@dataclass(frozen=True)
class Hostile:
    """
    One file. `words` are in what is said when it is refused, with the line where there is one.

    Without words it is read: `rows` are the lines that give a user, `out` those in quarantine.
    """

    name: str
    data: bytes
    words: str = ""
    rows: tuple[int, ...] = ()
    out: tuple[int, ...] = ()
    file: str = CSV
    settings: dict[str, Any] = field(default_factory=dict)


def a_zip(*names: str) -> bytes:
    """An archive with these files in it."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return raw.getvalue()


def a_parquet(**columns: Any) -> bytes:
    """A Parquet file with these columns."""
    raw = io.BytesIO()
    pq.write_table(pa.table(columns), raw)
    return raw.getvalue()


WHOLE = a_parquet(id=["kiwi", "owl"], name=["Kiwi", "Eule"])
PACKED_GOOD = gzip.compress(GOOD, mtime=0)

_WIDTHS_AND_BLANKS = (
    Hostile("a row too wide", GOOD + b"owl,Eule,x\nwren,W\n", rows=(2, 4), out=(3,)),
    Hostile("a row too narrow", GOOD + b"owl\nwren,W\n", rows=(2, 4), out=(3,)),
    Hostile("ragged rows first and last", b"id,name\nx\n" + ROW + b"x,y,z\n", rows=(3,), out=(2, 4)),
    Hostile("every row ragged", b"id,name\na\nb\nc\n", out=(2, 3, 4)),
    Hostile("a ragged row of several lines", b'id,name\n"a\r\nb",x,y\n' + ROW, rows=(4,), out=(2,)),
    Hostile(
        "a ragged row behind a cell of several lines", b'id,name\nowl,"E\n\nu"\nx\n' + ROW, rows=(2, 6), out=(5,)
    ),
    Hostile("ragged rows between blank lines", b"id,name\n\nx\n\r\n\n" + ROW, rows=(6,), out=(3,)),
    Hostile("blank lines everywhere", b"id,name\n\n\n" + ROW + b"\n\n", rows=(4,)),
    Hostile("a row of spaces alone", GOOD + b"   \n", rows=(2,), out=(3,)),
    Hostile("an unterminated last row that is narrow", GOOD + b"ow", rows=(2,), out=(3,)),
    Hostile("a delimiter behind every row and none in the header", b"id,name\nkiwi,Kiwi,\nowl,E,\n", out=(2, 3)),
    Hostile("three kinds of line ends", b"id,name\r\nkiwi,Kiwi\rowl,Eule\nwren,Wren\r\n", rows=(2, 3, 4)),
    Hostile("a lone CR inside quotes", b'id,name\nkiwi,"Ki\rwi"\nowl,Eule\n', rows=(2, 4)),
    Hostile("nothing but line ends", b"\n" * 1000, ":1 is empty"),
    Hostile("nothing but carriage returns", b"\r" * 3_000_000, ":1 is empty"),
    Hostile("nothing but spaces", b" " * 1000, ":1 is empty"),
)

_HEADERS = (
    Hostile("nothing at all", b"", "is empty"),
    Hostile("a header alone", b"id,name\n"),
    Hostile("a header alone without a line end", b"id,name"),
    Hostile("a mapped column missing", b"id,nmae\n", ":1: the mapped column 'name' is missing"),
    Hostile("a mapped column in capitals", b"ID,NAME\n", "did you mean 'NAME'?"),
    Hostile("a mapped column twice", b"id,name,name\n", ":1: the mapped column 'name' is there 2 times"),
    Hostile("a mapped column twice but for spaces", b"id, name ,name\n", "is there 2 times"),
    Hostile("an unmapped column twice", b"x,id,x,name\n1,kiwi,2,Kiwi\n", rows=(2,)),
    Hostile("a column without a name", b"id,,name\nkiwi,1,Kiwi\n", rows=(2,)),
    Hostile("data in place of a header", ROW + b"owl,Eule\n", "do the names stand there"),
    Hostile("a title above the header", b"Export of users\n" + GOOD, ":1: the mapped column"),
    Hostile("a blank line above the header", b"\n" + GOOD, ":1 is empty"),
    Hostile("a header of 5 MiB", b"x" * (5 << 20), "longer than 4 MiB"),
    Hostile("a header of 200,000 columns", b"id,name" + b",x" * 200_000 + b"\nkiwi\n", out=(2,)),
    Hostile("a line for Excel", b"sep=;\r\nid;name\r\nkiwi;a,b\r\n", rows=(3,)),
    Hostile("a line for Excel and no header", b"sep=;\n", "is empty"),
    Hostile("a line for Excel, and a column missing", b"sep=;\nid;x\n", ":2: the mapped column"),
)

_QUOTES = (
    Hostile("a quote left open in the header", b'id,"name\n' + ROW, ":1: a quote in the header"),
    Hostile("a quote inside a column's name", b'id,name,5"\nkiwi,Kiwi,7"\n', ":1: a quote in the header"),
    Hostile("a quote left open in the first row", b'id,name\nkiwi,"Kiwi\nowl,Eule\n', ":2: a quote"),
    Hostile("a quote left open in the middle", GOOD + b'owl,"Eule\nwren,W\n', ":3: a quote"),
    Hostile("a quote left open in the last row", GOOD + b'owl,"Eule\n', ":3: a quote"),
    Hostile("a quote left open in the last bytes", GOOD + b'owl,"', ":3: a quote"),
    Hostile("a quote left open, and closed by the next one", b'id,name\na,"A\nb,B\nc,"C"\nd,D\n', ":2: a quote"),
    Hostile("a quote left open in a row that is ragged", b'id,name\na,"A\nb,B\nc,"C",x\nd,D\n', ":2: a quote"),
    Hostile("quotes that are not doubled", b'id,name\nrock,"The "Rock" J"\n' + ROW, rows=(3,), out=(2,)),
    Hostile("quotes behind a closing one", b'id,name\n""kiwi"",K\n' + ROW, rows=(3,), out=(2,)),
    Hostile("an inch in an unquoted cell", b'id,name\nowl,5" tall\n' + ROW, rows=(2, 3)),
    Hostile("a quote behind a space", b'id,name\nowl, "Eule"\n', rows=(2,)),
    Hostile("nothing but quotes", b'"' * 4001, "a quote in the header"),
    Hostile("two million quotes in a cell", b'id,name\nowl,"' + b'"' * 2_000_000, "1 MiB"),
)

_BYTES = (
    Hostile("a NUL in a cell", b"id,name\nkiwi,Ki\0wi\n", ":2: there is a NUL"),
    Hostile("NULs behind the end", GOOD + b"\0" * 512, ":3: there is a NUL"),
    Hostile("UTF-16 without a mark", GOOD.decode().encode("utf-16-le"), "source.encoding=utf-16-le"),
    Hostile("UTF-16 of the other order, no mark", GOOD.decode().encode("utf-16-be"), "source.encoding=utf-16-be"),
    Hostile("UTF-16 with a mark, cut in a character", GOOD.decode().encode("utf-16")[:-1], ":2: the bytes do not"),
    Hostile("UTF-16 with the wrong mark", b"\xfe\xff" + GOOD.decode().encode("utf-16-le"), ":1: "),
    Hostile("two marks", b"\xef\xbb\xbf" * 2 + GOOD, rows=(2,)),
    Hostile("a mark in the middle", GOOD + b"\xef\xbb\xbfowl,Eule\n", rows=(2, 3)),
    Hostile(
        "a mark of UTF-8 in a file that is called windows-1252",
        b"\xef\xbb\xbf" + GOOD,
        ":1: the file is marked as utf-8, and source.encoding says windows-1252",
        settings={"encoding": "windows-1252"},
    ),
    Hostile(
        "a mark of one byte order and the name of the other",
        GOOD.decode().encode("utf-16"),
        "marked as utf-16-le",
        settings={"encoding": "utf-16-be"},
    ),
    Hostile("windows-1252 that nobody named", b"id,name\nkiwi,Kiw\xed\n", ":2: the bytes do not decode as utf-8"),
    Hostile(
        "a byte that is none in windows-1252", b"id,name\nkiwi,\x81\n", ":2: ", settings={"encoding": "cp1252"}
    ),
    Hostile("half a character at the end", GOOD + b"owl,\xc3", ":3: the bytes do not decode"),
    Hostile("an overlong slash", b"id,name\nkiwi,\xc0\xaf\n", ":2: the bytes do not decode"),
    Hostile("half a surrogate in UTF-8", b"id,name\nkiwi,\xed\xa0\x80\n", ":2: the bytes do not decode"),
    Hostile(
        "half a surrogate in UTF-7", b"id,name\nkiwi,+2AA-\n", "do not decode", settings={"encoding": "utf-7"}
    ),
    Hostile("an encoding that refuses all", GOOD, "no encoding 'undefined'", settings={"encoding": "undefined"}),
    Hostile("an encoding with a NUL in its name", GOOD, "no encoding", settings={"encoding": "a\0b"}),
    Hostile(
        "line ends of Unicode in a cell",
        "id,name\nkiwi,a\u2028b\u0085c\x0bd\x0c\n".encode() + b"x\n",
        rows=(2,),
        out=(3,),
    ),
)

_DELIMITERS = (
    Hostile("semicolons, and one in quotes", b'id;"a;b";name\nkiwi;x;"Kiwi;"\n', rows=(2,)),
    Hostile("tabs", b"id\tname\nkiwi\tKi,wi\n", rows=(2,)),
    Hostile("pipes", b"id|name\nkiwi|Ki;wi\n", rows=(2,)),
    Hostile("one column", b"id\nkiwi\n", "'name' is missing"),
    Hostile("a delimiter that nobody knows", b"id^name\nkiwi^Kiwi\n", "--set source.delimiter="),
    Hostile("a delimiter in the header alone", b"id;name\nkiwi,Kiwi\n", out=(2,)),
    Hostile("a delimiter named wrongly", b"id,name\n", "--set source.delimiter=", settings={"delimiter": ";"}),
    Hostile("a delimiter that is a quote", GOOD, "cannot stand between", settings={"delimiter": '"'}),
    Hostile("a delimiter that is a line end", GOOD, "cannot stand between", settings={"delimiter": "\n"}),
    Hostile("a delimiter outside ASCII", GOOD, "cannot stand between", settings={"delimiter": "é"}),
)

_GZIP = (
    Hostile("gzip that ends early", PACKED_GOOD[:-9], "ends early", file=PACKED),
    Hostile("gzip without its checksum", PACKED_GOOD[:-8], "ends early", file=PACKED),
    Hostile("gzip with a wrong checksum", PACKED_GOOD[:-8] + b"\0" * 8, "broken", file=PACKED),
    Hostile("gzip with a tail", PACKED_GOOD + b"tail", "has a tail", file=PACKED),
    Hostile("gzip with a tail of zeros, as on a tape", PACKED_GOOD + b"\0" * 512, rows=(2,), file=PACKED),
    Hostile("gzip in two parts", PACKED_GOOD + gzip.compress(b"owl,Eule\n"), rows=(2, 3), file=PACKED),
    Hostile(
        "gzip whose second part is cut", PACKED_GOOD + gzip.compress(b"owl,Eule\n")[:-4], "early", file=PACKED
    ),
    Hostile("text that is named .gz", GOOD, "is no gzip data", file=PACKED),
    Hostile("gzip that is not named .gz", PACKED_GOOD, "this is gzip data"),
    Hostile("gzip in gzip", gzip.compress(PACKED_GOOD), "this is gzip data", file=PACKED),
    Hostile("gzip of nothing", gzip.compress(b""), "is empty", file=PACKED),
    Hostile("an empty file that is named .gz", b"", "is empty", file=PACKED),
)

_FOREIGN = (
    Hostile("Excel saved as .csv", a_zip("[Content_Types].xml", "xl/workbook.xml"), "this is an Excel workbook"),
    Hostile("old Excel saved as .csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "an old Excel workbook"),
    Hostile("a zip saved as .csv", a_zip("users.csv"), "this is a zip archive"),
    Hostile("an HTML page saved as .csv", b"\n<!DOCTYPE html>\n<html><body>Log in</body></html>", "an HTML page"),
    Hostile("an HTML page in gzip", gzip.compress(b"<html><h1>502</h1></html>"), "an HTML page", file=PACKED),
    Hostile("an error of a bucket", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is XML"),
    Hostile("an error in words", b"Internal Server Error\n", "there are: Internal Server Error"),
    Hostile("JSON saved as .csv", b'[\n {"id": 1, "name": "Kiwi"}\n]', "this is JSON"),
    Hostile("Parquet saved as .csv", WHOLE, "this is a Parquet file"),
    Hostile("SQLite saved as .csv", b"SQLite format 3\0" + b"\0" * 100, "this is a SQLite database"),
    Hostile("zstd saved as .csv", b"\x28\xb5\x2f\xfd\x04\0", "packed (zstd"),
    Hostile("PDF saved as .csv", b"%PDF-1.7\n", "this is a PDF document"),
    Hostile("an HTML page saved as .jsonl", b"<html></html>\n", "an HTML page", file=LINES),
    Hostile("CSV saved as .parquet", GOOD, "not a readable Parquet file", file=PARQUET),
    Hostile("Excel saved as .parquet", a_zip("xl/workbook.xml"), "this is an Excel workbook", file=PARQUET),
)

_JSON = (
    Hostile("an array in one line", b"[" + ONE.strip() + b"]\n", ":1: this is a JSON array", file=LINES),
    Hostile(
        "an array over lines", b"[\n" + ONE.strip() + b",\n" + ONE + b"]\n", ":1: this is a JSON array", file=LINES
    ),
    Hostile("nothing", b"", "has no line that is a JSON object", file=LINES),
    Hostile("nested objects", b'{"id": "kiwi", "name": {"first": ["K"]}}\n', rows=(1,), file=LINES),
    Hostile("a mapped key twice", ONE + b'{"id": "a", "name": "A", "id": "b"}\n', rows=(1,), out=(2,), file=LINES),
    Hostile(
        "a mapped key twice, once escaped",
        ONE + b'{"id": "a", "\\u0069d": "b"}\n',
        rows=(1,),
        out=(2,),
        file=LINES,
    ),
    Hostile("an unmapped key twice", b'{"id": "a", "x": 1, "name": "A", "x": 2}\n', rows=(1,), file=LINES),
    Hostile("a key twice further down", b'{"id": "a", "name": {"id": 1, "id": 2}}\n', rows=(1,), file=LINES),
    Hostile("a key that some lines have", ONE + b'{"id": "owl"}\n', rows=(1, 2), file=LINES),
    Hostile("a mapped key that no line has", b'{"id": "owl"}\n', "'name' is missing", file=LINES),
    Hostile("NaN", ONE + b'{"id": "owl", "name": NaN}\n', rows=(1,), out=(2,), file=LINES),
    Hostile("a huge number", b'{"id": "owl", "name": 1e999}\n', rows=(1,), file=LINES),
    Hostile(
        "100,000 arrays deep",
        ONE + b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        rows=(1,),
        out=(2,),
        file=LINES,
    ),
    Hostile(
        "a line of 2 MiB", ONE + b'{"id": "' + b"x" * (2 << 20) + b'"}\n', ":2: the line is longer", file=LINES
    ),
    Hostile("a mark, blank lines, CRLF", b"\xef\xbb\xbf\r\n" + ONE.strip() + b"\r\n\r\n", rows=(2,), file=LINES),
    Hostile("a last line that is cut", ONE + ONE[:-4], ":2: the last line is cut short", file=LINES),
    Hostile(
        "20,000 different keys",
        b"".join(b'{"id": "a", "%d": 1}\n' % n for n in range(20_000)),
        "different keys",
        file=LINES,
    ),
    Hostile("no text in a text", ONE + b'{"id": "owl", "name": "\\ud800"}\n', rows=(1,), out=(2,), file=LINES),
)

_COLUMNAR = (
    Hostile("nothing named .parquet", b"", "not a readable Parquet file", file=PARQUET),
    Hostile("Parquet without its end", WHOLE[:-4], "not a readable Parquet file", file=PARQUET),
    Hostile("Parquet without its start", WHOLE[4:], "not a readable Parquet file", file=PARQUET),
    Hostile("Parquet with encrypted contents", WHOLE[:-4] + b"PARE", "not a readable Parquet file", file=PARQUET),
    Hostile(
        "Parquet with a footer longer than the file",
        WHOLE[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1",
        "not a readable Parquet file",
        file=PARQUET,
    ),
    Hostile("Parquet with a column missing", a_parquet(id=["kiwi"]), "'name' is missing", file=PARQUET),
    Hostile("Parquet with a nested column", a_parquet(id=["kiwi"], name=[{"a": [1]}]), rows=(1,), file=PARQUET),
    Hostile(
        "Parquet with a nested name", a_parquet(id=["a"], x=[{"name": "A"}]), "'name' is missing", file=PARQUET
    ),
    Hostile("Parquet with bytes that are no text", a_parquet(id=["a"], name=[b"\xff"]), "not UTF-8", file=PARQUET),
    Hostile(
        "Parquet of no rows", a_parquet(id=pa.array([], pa.string()), name=pa.array([], pa.string())), file=PARQUET
    ),
)

HOSTILE = _WIDTHS_AND_BLANKS + _HEADERS + _QUOTES + _BYTES + _DELIMITERS + _GZIP + _FOREIGN + _JSON + _COLUMNAR
