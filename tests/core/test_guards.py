"""Promises about what is held back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.guards import (
    Bases,
    ChangeGuard,
    GuardClass,
    GuardVerdict,
    judge_changes,
    passing_limit,
)

GUARDS = dict.fromkeys(GuardClass, ChangeGuard(10, 5))


def judge(kind: GuardClass, measured: int, base: int | None, guard: ChangeGuard) -> GuardVerdict:
    """The verdict on one class, with nothing else going on."""
    bases = Bases(base, base, base, base)
    verdicts = judge_changes({kind: measured}, bases, GUARDS | {kind: guard}, run_id="run")
    return next(verdict for verdict in verdicts if verdict.guard == kind)


@pytest.mark.parametrize(
    ("guard", "base", "limit"),
    [
        (ChangeGuard(10, 5), 100, 10),
        (ChangeGuard(10, 5), 20, 5),
        (ChangeGuard(10, 5), 0, 5),
        (ChangeGuard(10, 5), None, 5),
        (ChangeGuard(10, 5), 59, 5),
        (ChangeGuard(10, 5), 69, 6),
        (ChangeGuard(10, 5, 8), 100, 8),
        (ChangeGuard(10, 50, 8), 100, 8),
        (ChangeGuard(0, 0), 100, 0),
        (ChangeGuard(10, 0), None, 0),
        (ChangeGuard(2.5, 0), 100, 2),
    ],
)
def test_a_class_passes_up_to_the_larger_of_floor_and_percent_but_never_over_max(
    guard: ChangeGuard, base: int | None, limit: int
) -> None:
    """Exactly the limit passes, one more is held; an unknown base leaves the floor alone."""
    assert passing_limit(base, guard) == limit
    assert judge(GuardClass.UPDATE, limit, base, guard).verdict == "pass"
    assert judge(GuardClass.UPDATE, limit + 1, base, guard).verdict == "held"


@given(
    measured=st.integers(0, 300),
    base=st.none() | st.integers(0, 1000),
    percent=st.integers(0, 100),
    floor=st.integers(0, 100),
    most=st.none() | st.integers(0, 200),
)
def test_held_means_over_both_or_over_max(
    measured: int, base: int | None, percent: int, floor: int, most: int | None
) -> None:
    """The sentence of the settings file, word for word."""
    over_both = measured > floor and measured * 100 > percent * (base or 0)
    over_max = most is not None and measured > most

    verdict = judge(GuardClass.CLEAR, measured, base, ChangeGuard(percent, floor, most))

    assert verdict.is_held is (over_both or over_max)


def test_a_held_class_says_why_and_how_to_let_it_pass() -> None:
    """The command can be copied."""
    verdict = judge(GuardClass.ROLE_CHANGE, 12, 100, ChangeGuard(5, 10, 2000))

    assert verdict.because == "12 is over the limit of 10"
    assert verdict.release == "reconcile apply run --release role_change=12"
    assert (verdict.measured, verdict.base, verdict.limit) == (12, 100, 10)


def test_an_empty_directory_is_a_migration_and_no_accident() -> None:
    """Everybody is missing from it, and everybody may be created."""
    assert judge(GuardClass.CREATE, 10_000, 0, ChangeGuard(50, 1000, 5000)).verdict == "pass"
    assert judge(GuardClass.CREATE, 10_000, 1, ChangeGuard(50, 1000)).verdict == "held"
    assert judge(GuardClass.CREATE, 10_000, None, ChangeGuard(50, 1000)).verdict == "held"
    assert judge(GuardClass.DEACTIVATE, 10_000, 0, ChangeGuard(50, 1000)).verdict == "held"


def test_each_class_is_judged_by_itself() -> None:
    """The others go on."""
    verdicts = judge_changes({GuardClass.CLEAR: 99, GuardClass.UPDATE: 1}, Bases(9, 9, 9, 9), GUARDS, run_id="run")

    assert [verdict.guard for verdict in verdicts] == list(GuardClass)
    assert [verdict.guard for verdict in verdicts if verdict.is_held] == ["clear"]
    assert [verdict.measured for verdict in verdicts] == [0, 1, 0, 99, 0, 0, 0]
    # Nothing is said of a class that passes.
    assert {(verdict.release, verdict.because) for verdict in verdicts if not verdict.is_held} == {("", "")}


@pytest.mark.parametrize(("measured", "verdict"), [(1, "held"), (0, "pass")])
def test_a_withheld_class_is_held_whatever_its_number(measured: int, verdict: str) -> None:
    """A row without a uid holds the deactivations, if there are any."""
    because = "1 row has no usable uid"
    counts, withheld = {GuardClass.DEACTIVATE: measured, GuardClass.UPDATE: 1}, {GuardClass.DEACTIVATE: because}

    verdicts = judge_changes(counts, Bases(99, 99, 99, 99), GUARDS, run_id="run", withheld=withheld)
    told = {found.guard: (found.verdict, found.because) for found in verdicts}

    assert told["deactivate"] == (verdict, because * measured)
    assert told["update"] == ("pass", "")


@pytest.mark.parametrize(
    ("kind", "base"),
    [("update", 1), ("role_change", 1), ("clear", 1), ("create", 2), ("deactivate", 3), ("reactivate", 4)],
)
def test_each_class_has_its_own_base(kind: str, base: int) -> None:
    """Matched active users, users seen, active users seen, deactivated users."""
    assert judge_bases(Bases(1, 2, 3, 4))[kind] == base


def judge_bases(bases: Bases) -> dict[str, int | None]:
    """What each class was held against."""
    return {verdict.guard: verdict.base for verdict in judge_changes({}, bases, GUARDS, run_id="run")}
