"""No cell of a CSV file is a formula, whatever separator a spreadsheet expects."""

import csv
import io
import unicodedata
from random import Random

import pytest

from reconcile.report.tables import defused, meant, write_changes, write_quarantine
from tests.report.builders import a_change, a_row, settled
from tests.report.test_tables import PAYLOADS
from tests.scale import dice, how_many

STARTS = set("=+-@|%＝＋－＠｜％")
PIECES = [
    *STARTS,
    ";",
    ";",
    ",",
    "\t",
    "\n",
    "\r",
    '"',
    '"',
    "'",
    "'",
    "a",
    "1",
    " ",
    "\u200b",
    "\u202e",
    "\x00",
    "é",
    "\ufeff",
]
CHUNK = 500


def _text(random: Random) -> str:
    return "".join(random.choices(PIECES, k=random.randint(0, 12)))


def _cells(raw: bytes, separator: str) -> list[str]:
    table = csv.reader(io.StringIO(raw.decode(), newline=""), delimiter=separator)
    return [cell for row in table for cell in row]


def _first_seen(cell: str) -> str:
    return next((char for char in cell if unicodedata.category(char)[0] not in "CZ"), "")


def _assert_none_is_run(texts: list[str]) -> None:
    file = io.BytesIO()
    write_changes(file, ((a_change(text, uid=text), settled(text)) for text in texts))
    write_quarantine(file, (a_row(text) for text in texts))
    for separator in ",;\t":
        run = [cell for cell in _cells(file.getvalue(), separator) if _first_seen(cell) in STARTS]
        assert not run, (separator, run[:3])


def test_no_generated_text_is_run() -> None:
    """Also not where the file is read with another separator than its own."""
    for start in range(0, how_many(5_000, soak=100_000), CHUNK):
        random = dice(f"formula-{start}")
        _assert_none_is_run([_text(random) for _ in range(CHUNK)])


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
@pytest.mark.parametrize("before", ["", "a;", 'a";', "a\n", "a\t", 'a;"', "a;'"])
def test_no_known_payload_is_run(payload: str, before: str) -> None:
    """Nor as a part of a cell that a separator makes a cell of its own."""
    _assert_none_is_run([before + payload])


def test_what_was_defused_can_be_had_back() -> None:
    """Exactly, so nobody has to guess which apostrophe was meant."""
    random = dice("meant")
    for _ in range(how_many(5_000, soak=100_000)):
        text = _text(random)
        assert meant(defused(text)) == text
