"""Promises about which source is not believed, and what it is held against."""

from itertools import product

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.baseline import WINDOW, Baseline, Sketch, window
from reconcile.core.guards import GuardVerdict
from reconcile.core.sketch import sample_of, sketch_of
from reconcile.core.source_guards import (
    CLOCK_SLACK_S,
    Shape,
    SourceLimits,
    judge_checksum,
    judge_clocks,
    judge_history,
    judge_quarantine,
    judge_source,
)

NOW = 1_800_000_000
LIMITS = SourceLimits(min_rows=1, max_shrink_percent=20)
DAY = 86_400


def a_night(number: int, rows: int = 100, **but: object) -> Baseline:
    """The baseline of one night's export; higher numbers are later."""
    known: dict[str, object] = {"as_of_unix_s": NOW + number * DAY, "sha256": f"{number:064x}"}
    return Baseline(f"run-{number}", rows, **(known | but))  # type: ignore[arg-type]


def alone(rows: int, limits: SourceLimits = LIMITS, *present: str, as_of: int = NOW) -> list[GuardVerdict]:
    """The verdicts that hold a source of so many rows, whatever came before it."""
    verdicts = judge_source(Shape(rows, as_of), limits, present=set(present), now_unix_s=NOW)
    return [verdict for verdict in verdicts if verdict.is_held]


def beside(shape: Shape, *good: Baseline, limits: SourceLimits = LIMITS) -> list[GuardVerdict]:
    """The verdicts that hold a source, by the good runs before it, newest first."""
    return [verdict for verdict in judge_history(shape, limits, good) if verdict.is_held]


def names(verdicts: list[GuardVerdict]) -> list[str]:
    """Which guards they are of."""
    return [verdict.guard for verdict in verdicts]


# By itself


@pytest.mark.parametrize(("rows", "guards"), [(0, ["min_rows"]), (1, []), (10**6, [])])
def test_an_empty_source_is_not_believed(rows: int, guards: list[str]) -> None:
    """One row is the least that anybody means."""
    assert names(alone(rows)) == guards


def test_a_promised_number_of_rows_is_met_exactly() -> None:
    """More is as wrong as fewer."""
    limits = SourceLimits(1, 20, expect_rows=10)

    assert [names(alone(rows, limits)) for rows in (9, 10, 11)] == [["expect_rows"], [], ["expect_rows"]]


def test_a_missing_sentinel_is_named() -> None:
    """Sentinels are compared as uids are, folded and trimmed."""
    limits = SourceLimits(1, 20, sentinels=(" KIWI ", "wren", "owl"))
    (verdict,) = alone(5, limits, "kiwi", "owl")

    assert (verdict.guard, verdict.measured, verdict.limit) == ("sentinels", 2, 3)
    assert verdict.because == "missing from the source: wren"
    assert verdict.release == "--accept-source, once, when you know why"


def test_five_missing_sentinels_are_named_and_the_rest_counted() -> None:
    """A list of a thousand is read by nobody."""
    told = {
        len(uids): alone(5, SourceLimits(1, 20, sentinels=tuple(uids)))[0].because for uids in ("abcde", "abcdefg")
    }

    assert told[5] == "missing from the source: a, b, c, d, e"
    assert told[7] == "missing from the source: a, b, c, d, e and 2 more"


@pytest.mark.parametrize(
    ("ahead", "guards"), [(-DAY, []), (0, []), (CLOCK_SLACK_S, []), (CLOCK_SLACK_S + 1, ["as_of_ahead"])]
)
def test_an_export_of_times_to_come_is_not_believed(ahead: int, guards: list[str]) -> None:
    """Two clocks may differ by minutes; hours are a mistake."""
    assert names(alone(5, as_of=NOW + ahead)) == guards


def test_every_check_that_fails_is_told_at_once() -> None:
    """Nobody has to find them out one night after the other."""
    limits = SourceLimits(5, 20, sentinels=("owl",), expect_rows=7)
    shape = Shape(1, NOW + DAY, empty={"avatar": 1.0})
    held = [*alone(1, limits, as_of=NOW + DAY), *beside(shape, a_night(9), limits=limits)]

    assert names(held) == [
        "min_rows",
        "expect_rows",
        "sentinels",
        "as_of_ahead",
        "max_shrink_percent",
        "as_of_behind",
    ]
    assert all(verdict.because and verdict.release for verdict in held)


def measured(verdict: GuardVerdict) -> tuple[object, ...]:
    """What a guard measured, of what, and the last number that passes."""
    return verdict.guard, verdict.measured, verdict.base, verdict.limit


def test_every_guard_that_passes_shows_its_numbers_and_says_nothing() -> None:
    """How close it was can be seen before anything is refused."""
    limits = SourceLimits(2, 20, expect_rows=7, sentinels=("owl",))
    shape = Shape(7, NOW, empty={"new": 1.0, "avatar": 0.0})
    verdicts = [
        *judge_source(shape, limits, present={"owl"}, now_unix_s=NOW - 60),
        *judge_source(shape, LIMITS, present=(), now_unix_s=NOW + 60),
        *judge_history(shape, limits, [a_night(0, 8, as_of_unix_s=NOW + 40, empty={"avatar": 0.0})]),
        *judge_history(Shape(8, NOW), limits, [a_night(0, 8, as_of_unix_s=NOW - 40)]),
        judge_checksum("aa", "aa", "users.csv.sha256"),
        judge_quarantine(3, 1000, 5, 20, "3 rows: the uid is empty"),
    ]

    assert [measured(verdict) for verdict in verdicts] == [
        ("min_rows", 7, None, 2),
        ("expect_rows", 7, None, 7),
        ("sentinels", 1, None, 1),
        ("as_of_ahead", 60, None, CLOCK_SLACK_S),
        ("min_rows", 7, None, 1),
        ("as_of_ahead", 0, None, CLOCK_SLACK_S),
        ("max_shrink_percent", 7, 8, 7),
        ("max_emptied", 0, 7, 20),
        ("as_of_behind", 40, None, CLOCK_SLACK_S),
        ("max_shrink_percent", 8, 8, 7),
        ("max_emptied", 0, 8, 20),
        ("as_of_behind", 0, None, CLOCK_SLACK_S),
        ("sha256", 1, None, 1),
        ("max_quarantined", 3, 1000, 50),
    ]
    assert {(verdict.verdict, verdict.because, verdict.release) for verdict in verdicts} == {("pass", "", "")}


def test_a_refusal_can_be_understood_without_this_code() -> None:
    """What is there, what should be, and where to look."""
    limits = SourceLimits(2, 20, expect_rows=7)
    held = [
        *alone(1, limits, as_of=NOW + DAY),
        *beside(Shape(79, NOW - DAY), a_night(0)),
        judge_checksum("aa", None, "users.csv.sha256"),
        judge_quarantine(21, 100, 5, 20, "21 rows: the uid is empty (row 2 is the first)"),
    ]

    assert [verdict.because for verdict in held] == [
        "1 rows where at least 2 were expected",
        "1 rows where 7 were promised",
        "it says that it was true at 2027-01-16T08:00:00+00:00, which is yet to come; "
        "look at the clocks here and where it was written, or at source.as_of",
        "79 rows; run run-0 had 100, so at least 80 were expected",
        "it is of 2027-01-14T08:00:00+00:00, older than the export of run run-0, "
        "which was of 2027-01-15T08:00:00+00:00",
        "users.csv.sha256 does not hold one line as sha256sum writes it",
        "21 of 100 rows are quarantined; the limit is 20; 21 rows: the uid is empty (row 2 is the first)",
    ]
    assert {verdict.verdict for verdict in held} == {"held"}


# Beside earlier ones


def test_without_a_good_run_there_is_nothing_to_compare_with() -> None:
    """A first source is judged by itself alone."""
    assert judge_history(Shape(0, 0), LIMITS, ()) == ()


@pytest.mark.parametrize(("rows", "believed"), [(80, True), (79, False), (100, True), (500, True)])
def test_a_source_may_shrink_by_the_percentage_and_no_more(rows: int, believed: bool) -> None:  # noqa: FBT001
    """And grow as it likes."""
    assert (beside(Shape(rows, NOW + DAY), a_night(0)) == []) is believed


def test_a_slow_erosion_is_caught() -> None:
    """A fifth less every night is each night within the limit, and is nobody's intention."""
    rows, good = 1000, [a_night(0, 1000)]
    for night in range(1, 10):
        rows = int(rows * 0.81)
        if beside(Shape(rows, NOW + night * DAY), *window(good)):
            break
        good.insert(0, a_night(night, rows))

    (verdict,) = beside(Shape(rows, NOW + night * DAY), *window(good))
    assert (night, verdict.guard, verdict.base) == (2, "max_shrink_percent", 1000)
    assert verdict.because == (
        "656 rows; run run-0 had 1000, the most of the last 2 exports, so at least 800 were expected"
    )


@pytest.mark.parametrize(
    ("share", "before", "held"),
    [
        (0.98, [0.02], True),
        (0.22, [0.02], False),
        (0.23, [0.02], True),
        (0.02, [0.98], False),
        (1.0, [1.0], False),
        (0.5, [0.48, 0.31, 0.29], True),
        (1.0, [], False),
    ],
)
def test_a_column_that_lost_its_values_is_not_believed(share: float, before: list[float], held: bool) -> None:  # noqa: FBT001
    """Compared with the fullest of the last exports; a field that is mapped anew is compared with nothing."""
    good = [a_night(-at, 1000, empty={"avatar": empty}) for at, empty in enumerate(before)] or [a_night(0, 1000)]
    found = beside(Shape(1000, NOW + DAY, empty={"link": 0.0, "avatar": share}), *good)

    assert names(found) == ["max_emptied"] * held


def test_an_emptied_column_is_told_in_words() -> None:
    """What was measured, what was expected, and since when."""
    good = a_night(3, 1000, empty={"avatar": 0.02, "role": 0.0})
    (verdict,) = beside(Shape(1000, NOW + 4 * DAY, empty={"avatar": 0.98, "role": 1.0}), good)

    assert (verdict.measured, verdict.base, verdict.limit) == (1000, 1000, 200)
    assert verdict.because == (
        "avatar is empty in 98% of the rows; in run run-3 it was in 2%, "
        "role is empty in 100% of the rows; in run run-3 it was in 0%; more than 200 rows lost it"
    )


def test_a_few_emptied_cells_of_a_small_source_are_believed() -> None:
    """In a source of ten rows every cell is ten percent."""
    good = a_night(0, 10, empty={"avatar": 0.0})

    assert beside(Shape(10, NOW + DAY, empty={"avatar": 1.0}), good) == []
    limits = SourceLimits(1, 20, max_emptied=(20, 0))
    assert names(beside(Shape(10, NOW + DAY, empty={"avatar": 1.0}), good, limits=limits)) == ["max_emptied"]


def a_sketch(**values: str) -> Sketch:
    """The sketch of an export with these users."""
    users = pa.table({"uid": pa.array(values, pa.string()), "name": pa.array(values.values(), pa.string())})
    return sketch_of(sample_of(users, "s"), len(users), "m", secret="s", forgotten=lambda _: ())


@pytest.mark.parametrize(
    ("after", "held"),
    [
        ({"kiwi": "Kiwi", "wren": "Wren", "owl": "Owl", "hen": "Hen"}, False),
        ({"kiwi": "Kiwi", "wren": "Wren", "owl": "x", "hen": "x"}, False),
        ({"kiwi": "Kiwi", "wren": "x", "owl": "x", "hen": "x"}, True),
        ({"kiwi": "Kiwi", "wren": "x", "owl": "x"}, True),
        ({"kiwi-2": "Kiwi", "wren-2": "Wren", "owl-2": "Owl", "hen-2": "Hen"}, True),
        ({"kiwi": "Kiwi", "wren": "Wren"} | {f"new-{n}": "New" for n in range(9)}, False),
        ({}, True),
    ],
    ids=["same", "half", "more", "gone", "others", "grown", "empty"],
)
def test_an_export_of_users_that_are_not_as_they_were_is_not_believed(after: dict[str, str], held: bool) -> None:  # noqa: FBT001
    """Whether they have other values, or are others altogether; new ones beside them are welcome."""
    good = a_night(0, sketch=a_sketch(kiwi="Kiwi", wren="Wren", owl="Owl", hen="Hen"))
    limits = SourceLimits(1, 20, max_changed=(50, 0))

    assert (
        names(beside(Shape(100, NOW + DAY, sketch=a_sketch(**after)), good, limits=limits))
        == ["max_changed"] * held
    )


def test_changed_rows_are_told_in_words() -> None:
    """What was measured, what was expected, and since when; and a few of a small source are believed."""
    good = a_night(3, sketch=a_sketch(**{f"user-{n}": "A" for n in range(1002)}))
    for other, held in ((1000, []), (1001, ["max_changed"])):
        now = a_sketch(**{f"user-{n}": "B" if n < other else "A" for n in range(1002)})
        found = beside(Shape(1002, NOW + 4 * DAY, sketch=now), good)
        assert names(found) == held, other
    (verdict,) = beside(Shape(1002, NOW + 4 * DAY, sketch=a_sketch(**{"user-0": "B"})), good)

    assert (verdict.measured, verdict.base, verdict.limit) == (1002, 1002, 1000)
    assert verdict.because == (
        "of 1002 users in run run-3, 1 have other values and 1001 are gone; no more than 1000 in all were expected"
    )


def test_only_the_last_export_that_was_made_alike_is_compared_user_by_user() -> None:
    """A changed mapping changes everybody, and says nothing of the export."""
    limits = SourceLimits(1, 20, max_changed=(50, 0))
    shape = Shape(100, NOW + DAY, sketch=a_sketch(kiwi="x"))
    other = msgspec.structs.replace(a_sketch(kiwi="Kiwi"), mapping="other")
    old = a_night(0, sketch=a_sketch(kiwi="Kiwi"))

    assert names(beside(shape, old, limits=limits)) == ["max_changed"]
    assert beside(shape, a_night(1, sketch=other), old, limits=limits) == []
    assert beside(shape, a_night(1), old, limits=limits) == []


@pytest.mark.parametrize(("behind", "held"), [(0, False), (CLOCK_SLACK_S, False), (CLOCK_SLACK_S + 1, True)])
def test_an_export_that_is_older_than_an_earlier_one_is_not_believed(behind: int, held: bool) -> None:  # noqa: FBT001
    """The same file again is no older file."""
    found = beside(Shape(100, NOW + 5 * DAY - behind), a_night(4), a_night(5), a_night(3))

    assert names(found) == ["as_of_behind"] * held
    assert all("of run run-5" in verdict.because for verdict in found)


@pytest.mark.parametrize(
    ("as_of", "held"),
    [
        (NOW, []),
        (NOW + CLOCK_SLACK_S + 1, ["as_of_ahead"]),
        (NOW - DAY - CLOCK_SLACK_S, []),
        (NOW - DAY - CLOCK_SLACK_S - 1, ["as_of_behind"]),
    ],
)
def test_a_part_of_a_source_is_judged_by_its_time_alone(as_of: int, held: list[str]) -> None:
    """It has few rows by its nature; where no run was good there is only the clock to hold it against."""
    verdicts = judge_clocks(as_of, (a_night(-1), a_night(-2)), now_unix_s=NOW)
    first = judge_clocks(as_of, (), now_unix_s=NOW)

    assert [verdict.guard for verdict in verdicts] == ["as_of_ahead", "as_of_behind"]
    assert [verdict.guard for verdict in verdicts if verdict.is_held] == held
    assert first == verdicts[:1]


def test_a_baseline_of_an_earlier_version_compares_what_it_knows() -> None:
    """It has rows, and no more."""
    found = judge_history(Shape(100, 0, empty={"avatar": 1.0}), LIMITS, (Baseline("run-0", 100),))

    assert [(verdict.guard, verdict.verdict) for verdict in found] == [
        ("max_shrink_percent", "pass"),
        ("max_emptied", "pass"),
    ]


# Which earlier ones


def test_a_week_of_exports_counts() -> None:
    """The newest seven."""
    nights = [a_night(number) for number in range(20, 0, -1)]

    assert window(iter(nights)) == tuple(nights[:WINDOW])


def test_many_plans_of_one_export_count_once() -> None:
    """Else a day of trying things out would make everybody forget the week before."""
    tries = [a_night(9, rows) for rows in range(30)]
    queries = [a_night(8, sha256=None, as_of_unix_s=NOW + 8 * DAY + hour) for hour in (200, 100)]

    assert [night.run_id for night in window([*tries, *queries, a_night(7)])] == ["run-9", "run-8", "run-7"]


def test_many_exports_of_one_day_do_not_push_out_the_days_before() -> None:
    """Small losses of each hour add up, too."""
    hours = [
        a_night(9, rows, as_of_unix_s=NOW + 9 * DAY + rows, sha256=f"hour {rows}") for rows in range(810, 800, -1)
    ]
    good = window([*hours, a_night(8, 1000)])

    assert (len(good), good[-1].rows) == (11, 1000)
    assert names(beside(Shape(799, NOW + 10 * DAY), *good)) == ["max_shrink_percent"]


def test_what_was_accepted_is_the_new_measure() -> None:
    """Once accepted, the nights after it are believed too; and what shrinks from there is not."""
    good = window([a_night(3, 41), a_night(2, 40, accepted=("max_shrink_percent",)), a_night(1, 1000)])

    assert [night.rows for night in good] == [41, 40]
    assert beside(Shape(39, NOW + 4 * DAY), *good) == []
    assert names(beside(Shape(20, NOW + 4 * DAY), *good)) == ["max_shrink_percent"]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_the_window_is_never_empty_and_never_long(nights: list[tuple[int, bool]]) -> None:
    """Whatever was accepted, and however often an export was read."""
    baselines = [a_night(number, accepted=("x",) * accepted) for number, accepted in nights]
    found = window(baselines)

    assert (len(found) > 0) == (len(nights) > 0)
    assert len({night.sha256 for night in found}) == len(found) <= WINDOW
    assert not any(night.accepted for night in found[:-1])


# The rest


def test_a_checksum_that_differs_or_cannot_be_read_refuses() -> None:
    """It was put there to be looked at."""
    cases = {("aa", "aa"): False, ("aa", "bb"): True, ("aa", None): True, (None, "aa"): True, (None, None): True}
    found = {
        pair: judge_checksum(*pair, "users.csv.sha256").is_held
        for pair in product(("aa", None), ("aa", "bb", None))
    }

    assert {pair: found[pair] for pair in cases} == cases
    assert "users.csv.sha256 promises bb" in judge_checksum("aa", "bb", "users.csv.sha256").because


@pytest.mark.parametrize(
    ("quarantined", "rows", "is_held"), [(20, 100, False), (21, 100, True), (50, 1000, False), (51, 1000, True)]
)
def test_too_many_quarantined_rows_are_over_both_numbers(quarantined: int, rows: int, is_held: bool) -> None:  # noqa: FBT001
    """Five percent and twenty rows."""
    assert judge_quarantine(quarantined, rows, 5, 20, "").is_held is is_held
