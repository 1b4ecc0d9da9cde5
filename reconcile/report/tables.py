"""
The tables of a report as CSV, safe to open in a spreadsheet.

A cell that a spreadsheet would run as a formula gets an apostrophe in front. So does each part of a cell that
would be a cell of its own where a spreadsheet expects another separator. A text that has such an apostrophe
already gets one more, so taking one away gives back what was meant.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from reconcile.core.frame import Quarantined, QuarantineKind
from reconcile.core.outcome import Settled
from reconcile.core.plan import Change, encoded
from reconcile.core.users import fold_uid

__all__ = ["defused", "meant", "read_quarantine", "write_changes", "write_quarantine"]

# What spreadsheets take for the start of a formula, in both widths.
_FORMULA = frozenset("=+-@|%＝＋－＠｜％")
# Spaces, controls and what has no shape: they stand before a formula and leave it one.
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_PARTS = re.compile(r"([;\t\r\n])")
# What most cells are: one part that begins with something visible that starts no formula. Then nothing is to be done.
_HARMLESS = re.compile(r'(?:[A-Za-z0-9{\["][^;\t\r\n]*)?')

CHANGES = (
    "uid",
    "action",
    "class",
    "reasons",
    "fields",
    "before",
    "after",
    "outcome",
    "detail",
    "source_row",
)
QUARANTINE = ("source_row", "uid", "kind", "detail")


def defused(text: str) -> str:
    """Give the text of a cell so that no spreadsheet runs it, or a part of it."""
    if _HARMLESS.fullmatch(text):
        return text
    return "".join(f"'{part}" if is_run else part for part, is_run in _parts(text))


def meant(cell: str) -> str:
    """Give back the text that `defused` made a cell of."""
    return "".join(part[1:] if is_run and part.startswith("'") else part for part, is_run in _parts(cell))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Give what stands between separators, and these, each with whether it would be run but for apostrophes."""
    first, *rest = _PARTS.split(text)
    # A tab or a line break at the very start is itself the start of a formula to some.
    is_bare = not first.lstrip("'") and rest[:1] not in ([], [";"])
    yield first, is_bare or _is_formula(first.lstrip("'"))
    # Quotes do not protect what comes behind a separator that the file does not use.
    yield from ((part, _is_formula(part.lstrip("'\""))) for part in rest)


def _is_formula(text: str) -> bool:
    return next((char for char in text if unicodedata.category(char) not in _INVISIBLE), "") in _FORMULA


def write_changes(file: BinaryIO, changes: Iterable[tuple[Change, Settled | None]]) -> None:
    """Write changes.csv; of a plan that was not applied the outcome is empty."""
    _write(
        file,
        CHANGES,
        (
            (
                change.uid,
                change.action.value,
                change.guard_class.value,
                " ".join(change.reasons),
                " ".join(change.fields),
                _json(change.before),
                _json(change.after),
                settled.outcome.value if settled else "",
                settled.detail if settled else "",
                "" if change.source_row is None else str(change.source_row),
            )
            for change, settled in changes
        ),
    )


def write_quarantine(file: BinaryIO, rows: Iterable[Quarantined]) -> None:
    """Write quarantine.csv."""
    _write(
        file,
        QUARANTINE,
        ((str(row.source_row), row.uid or row.raw_uid, row.kind.value, row.detail) for row in rows),
    )


def read_quarantine(content: bytes) -> tuple[Quarantined, ...]:
    """Read quarantine.csv back."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    return tuple(_quarantined({name: meant(cell) for name, cell in row.items()}) for row in rows)


def _quarantined(row: Mapping[str, str]) -> Quarantined:
    uid = row["uid"] if fold_uid(row["uid"]) == row["uid"] else None
    return Quarantined(int(row["source_row"]), uid, QuarantineKind(row["kind"]), row["detail"], row["uid"])


def _write(file: BinaryIO, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    # A surrogate cannot be written; it is shown as the question mark that it is.
    text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="", write_through=True)
    table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerow(header)
    for row in rows:
        table.writerow([defused(cell) for cell in row])
    text.detach()


def _json(values: Mapping[str, str | None]) -> str:
    return encoded(values).decode() if values else ""
