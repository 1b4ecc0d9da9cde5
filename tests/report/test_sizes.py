"""How large a page gets is a law: no number and no length of texts makes it larger than a megabyte, and it says what it left out."""

import re
from collections.abc import Sequence
from random import Random

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcile.core.frame import Quarantined, QuarantineKind
from reconcile.core.normal import canonical_json
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.report import PlanCounts, Report
from reconcile.core.survey import Survey
from reconcile.report.html import render_html
from tests.report.builders import a_change, a_report, packed_rows, surveyed
from tests.scale import how_many

MOST = 1_000_000
# One byte and four, what HTML and JSON write longer, what packs to nothing, and what packs not at all.
ALPHABETS = ("a", '"', "&<>", "\x00", "\u202e", "\U0001f426", "".join(map(chr, range(0x4E00, 0x9E00))))


def texts(alphabet: str, length: int, dice: Random) -> list[str]:
    """A hundred texts of a length."""
    return ["".join(dice.choices(alphabet, k=length)) for _ in range(100)]


def changes(number: int, fields: int, pool: Sequence[str], dice: Random) -> Survey:
    """A plan of updates with so many metadata keys each, all of whose texts are out of the pool."""
    names = ("name", *(f"metadata.{number}{dice.choice(pool)[:200]}" for number in range(fields)))
    made = []
    for seq in range(number):
        before, desired = (
            {
                name: text if name == "name" else canonical_json(text)
                for name in names
                for text in [dice.choice(pool)]
            }
            for _ in range(2)
        )
        change = a_change(
            uid=f"{dice.choice(pool)}{seq}", fields=names, before=before, desired=desired, source_row=seq
        )
        made.append((change, Settled(dice.choice([*Outcome]), dice.choice(pool))))
    return surveyed(*made)


@settings(max_examples=how_many(20, soak=1_000), deadline=None)
@given(
    number=st.integers(0, 300),
    fields=st.integers(0, 60),
    length=st.sampled_from([0, 1, 20, 100, 300, 3_000]),
    alphabet=st.sampled_from(ALPHABETS),
    beside=st.sampled_from([0, 3, 1_000]),
)
@example(number=100, fields=60, length=300, alphabet=ALPHABETS[-1], beside=1_000)
@example(number=100, fields=60, length=300, alphabet='"', beside=1_000)
@example(number=200, fields=60, length=300, alphabet="\U0001f426", beside=1_000)
def test_no_plan_makes_a_page_of_more_than_a_megabyte(
    number: int, fields: int, length: int, alphabet: str, beside: int
) -> None:
    """Whatever fits is on it, in its order, and it says how many of how many that are."""
    dice = Random(f"{number} {fields} {length}")  # noqa: S311 - the same each time
    pool = texts(alphabet, length, dice)
    survey = changes(number, fields, pool, dice)
    report = a_report(
        pool[0] or "x",
        plan=PlanCounts(0, number, 0, 0, 0),
        unmanaged_users=tuple(pool * (beside // 100)),
        notes=tuple(pool[:20]),
        needs=tuple(pool[:20]),
    )
    rows = [
        Quarantined(row, None, QuarantineKind.INVALID, dice.choice(pool), dice.choice(pool))
        for row in range(beside)
    ]
    page = render_html(report, survey, rows)
    there = packed_rows(page)

    assert len(page.encode()) <= MOST
    assert [row[6] for row in there] == [change.source_row for change, _ in survey.sample][: len(there)]
    assert (f"The first {len(there)} of {number}" in page) == (len(there) < number)
    assert there or not number


def test_as_many_changes_are_there_as_have_room() -> None:
    """A short night is there whole, and a long one fills the page."""
    dice = Random(0)  # noqa: S311 - the same each time
    short = render_html(*_night(changes(2_000, 1, texts("ab", 10, dice), dice)))
    full = render_html(*_night(changes(2_000, 4, texts(ALPHABETS[-1], 300, dice), dice)))

    assert len(packed_rows(short)) == 2_000
    assert "All 2,000" in short
    assert len(full.encode()) > 0.9 * MOST
    assert 100 < len(packed_rows(full)) < 2_000
    assert re.search(r"The first [\d,]+ of 2,000", full)


def test_what_packs_well_is_no_burden_to_the_browser() -> None:
    """Texts of one letter pack to next to nothing, and have to be read all the same."""
    dice = Random(0)  # noqa: S311 - the same each time
    page = render_html(*_night(changes(6_000, 10, texts("a", 300, dice), dice)))

    assert len(msgspec.json.encode(packed_rows(page))) <= 12_000_000
    assert "The first" in page


def _night(survey: Survey) -> tuple[Report, Survey, list[Quarantined]]:
    return a_report(plan=PlanCounts(0, survey.total, 0, 0, 0)), survey, []
