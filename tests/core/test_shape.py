"""Promises about what is measured of a source, and how quarantined rows are known again and summed up."""

import pytest

from reconcile.core.frame import Quarantined, QuarantineKind, with_roles
from reconcile.core.mapping import ColumnKind
from reconcile.core.shape import empty_counts, empty_shares, mark_of, marks_of, reasons_of
from tests.builders import a_desired, a_mapping, a_raw_frame, a_row, a_typed

KNOWN = Quarantined(4, "kiwi", QuarantineKind.COLLISION, "row 4 ('KIWI') folds to 'kiwi'", raw_uid="KIWI")


@pytest.mark.parametrize(
    ("cells", "share"),
    [(["a", "b"], 0.0), (["a", ""], 0.5), ([None, ""], 1.0), ([" ", "\t\n"], 1.0), (["a", None, "b", "c"], 0.25)],
)
def test_an_empty_cell_is_one_that_says_nothing(cells: list[str | None], share: float) -> None:
    """No cell, no text, or white space alone: as the rows themselves are read."""
    rows = [a_row(f"kiwi-{at}", role=cell) for at, cell in enumerate(cells)]

    counts = empty_counts(a_raw_frame(rows, ("id", "name", "role")), a_mapping())

    assert empty_shares(counts, len(rows)) == {"name": 0.0, "role": share}


def test_a_source_without_rows_has_no_shares() -> None:
    """Nothing of nothing is no number."""
    counts = empty_counts(a_raw_frame([], ("id", "name", "role")), a_mapping())

    assert counts == {"name": 0, "role": 0}
    assert empty_shares(counts, 0) == {}


@pytest.mark.parametrize(
    ("row", "is_same"),
    [
        (Quarantined(9, "kiwi", QuarantineKind.COLLISION, "row 9 ('Kiwi') folds to 'kiwi'", raw_uid="Kiwi"), True),
        (Quarantined(4, "kiwi", QuarantineKind.INVALID, KNOWN.detail, raw_uid="KIWI"), False),
        (Quarantined(4, "fig", QuarantineKind.COLLISION, KNOWN.detail, raw_uid="fig"), False),
    ],
)
def test_a_quarantined_row_is_known_by_whom_it_means_and_what_is_wrong(row: Quarantined, is_same: bool) -> None:  # noqa: FBT001
    """Wherever it stands in the file."""
    assert (mark_of(row) == mark_of(KNOWN)) is is_same


def test_a_row_without_a_uid_is_known_by_what_is_wrong_with_it() -> None:
    """It has nothing else that stays; and a mark is no uid that could be read."""
    rows = a_desired(a_row(""), a_row("a b"), a_row("c d"), a_row("")).quarantined

    assert [row.uid for row in rows] == [None] * 4
    assert len(marks_of(rows)) == 3
    assert not any("a b" in mark for mark in marks_of(rows))


def test_the_most_frequent_reasons_are_named_and_no_cell_with_them() -> None:
    """Three at the most, each with its number, and the first row that has the foremost; roles are none of a person's."""
    mapping = a_mapping("name", "role", a_typed("n", ColumnKind.NUMBER))
    rows = [
        *(a_row(f"r-{at}", metadata__n=f"it's {at}") for at in range(3)),
        a_row("r-9", metadata__n='a "9"'),
        *(a_row(f"v-{at}", role="royal") for at in range(5)),
        a_row("KIWI"),
        a_row("kiwi"),
        a_row("null"),
    ]
    found = with_roles(a_desired(*rows, mapping=mapping), {"default"}).quarantined

    assert reasons_of(found) == (
        "5 rows: the app has no role 'royal' (row 6 is the first); 4 rows: metadata.n: … is not a number; "
        "2 rows: another row has the same uid; 1 for other reasons"
    )
    assert reasons_of(found[:1]) == "1 row: metadata.n: … is not a number (row 2 is the first)"
