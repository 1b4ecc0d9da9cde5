"""Promises about what is ours: the very deactivation that we made, of the very record, and nothing where nobody can tell."""

from collections import Counter

import pytest

from reconcile.core.changes import class_counts, list_changes
from reconcile.core.guards import GuardClass
from reconcile.core.ours import NEAR_S, Left, left_by, was_near
from reconcile.core.plan import PlanPolicy, decode_change, encode_change
from tests.builders import a_row, a_user, findings

MADE, OFF = 1_700_000_000, 1_700_000_500
POLICY = PlanPolicy(reactivate=True, reactivate_foreign=True)


@pytest.mark.parametrize(
    ("left", "is_ours"),
    [
        (Left(MADE, OFF), True),
        (Left(MADE, OFF + 1), False),
        (Left(MADE, OFF - 1), False),
        (Left(MADE + 1, OFF), False),
        (Left(None, OFF), False),
        (Left(between=(OFF, OFF)), True),
        (Left(between=(OFF + 1, OFF + 9)), False),
        (Left(between=(OFF - 9, OFF - 1)), False),
        (Left(MADE), False),
        (None, False),
    ],
)
def test_a_deactivation_is_ours_only_with_the_date_that_we_left(left: Left | None, *, is_ours: bool) -> None:
    """In the plan as in the numbers that the guards judge."""
    found = findings([a_row(name="Kiwi")], [a_user(deactivated_at=OFF)])
    ours = {} if left is None else {"kiwi": left}
    kind = GuardClass.REACTIVATE if is_ours else GuardClass.REACTIVATE_FOREIGN
    (change,) = list_changes(found, POLICY, ours)

    assert change.guard_class is kind
    assert +Counter(class_counts(found, POLICY, ours)) == {kind: 1}


def test_an_active_user_is_deactivated_by_nobody() -> None:
    """A service may write 0 for it."""
    assert not Left(MADE, 0).is_deactivation(MADE, 0)
    assert not Left(between=(0, OFF)).is_deactivation(MADE, None)


def test_a_plan_says_since_when_a_user_is_deactivated() -> None:
    """And a line of an older version, which does not, is read all the same."""
    found = findings([a_row(name="Kiwi")], [a_user(deactivated_at=OFF)])
    (change,) = list_changes(found, POLICY, {})
    line = encode_change(change)
    old = line.replace(b',"created_at":1700000000,"deactivated_at":1700000500', b"")

    assert (change.created_at, change.deactivated_at) == (MADE, OFF)
    assert decode_change(line) == change
    assert (old != line, decode_change(old).deactivated_at) == (True, None)


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        ((MADE, OFF, 5, 1, 9), Left(MADE, OFF)),
        ((MADE, None, 5_000, 1, 9), Left(MADE, None, (5_000 - NEAR_S, 5_000 + NEAR_S))),
        ((None, None, None, 1_000, 9_000), Left(None, None, (1_000 - NEAR_S, 9_000 + NEAR_S))),
        ((None, None, None, 1_000, None), Left()),
        ((None, None, None, None, None), Left()),
    ],
)
def test_the_journal_says_what_a_write_left(facts: tuple[int | None, ...], left: Left) -> None:
    """Exact where it was read back, else near the intent, else within the run of an older version."""
    assert left_by(*facts) == left
    assert left.is_known() is (left != Left())


def test_a_date_is_near_an_intent_for_five_minutes_either_way() -> None:
    """Two clocks are never quite alike."""
    assert [was_near(1_000 + far, 1_000) for far in (-NEAR_S - 1, -NEAR_S, NEAR_S, NEAR_S + 1)] == [
        False,
        True,
        True,
        False,
    ]
    assert not was_near(None, 1_000)
    assert not was_near(1_000, None)
