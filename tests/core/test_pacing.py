"""Promises about how fast requests may go."""

from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcile.core.pacing import ASSUMED_LIMIT, Budget
from tests.scale import how_many

LIMITS = st.integers(1, 3000)
SHARES = st.sampled_from([0.1, 0.5, 0.8, 0.98, 1.0])
# Seconds that the caller idles before its next request, and what the next answer says is left of the limit.
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.1, 0.25, 0.5, 7.0, 61.0]), st.none() | st.floats(0, 1)),
    max_size=60,
)


def send(budget: Budget, now_s: float) -> float:
    """Wait for the next slot, use it, and give the time."""
    now_s += budget.wait_s(now_s)
    budget.take(now_s)
    return now_s


def burst(budget: Budget, number: int, now_s: float = 0.0) -> list[float]:
    """Send as fast as the budget allows."""
    times = []
    for _ in range(number):
        now_s = send(budget, now_s)
        times.append(now_s)
    return times


def fullest_window(times: list[float], seconds: float = 60.0) -> int:
    """The most requests that any window of so many seconds holds."""
    return max(
        (number - bisect_right(times, end - seconds) for number, end in enumerate(times, start=1)), default=0
    )


@given(limit=LIMITS, share=SHARES, fixed=st.none() | st.integers(1, 5000), steps=STEPS)
@settings(max_examples=how_many(1000, soak=20_000), deadline=None)
def test_no_minute_holds_more_than_the_limit(
    limit: int, share: float, fixed: int | None, steps: list[tuple[float, float | None]]
) -> None:
    """However the caller dawdles, and whatever the answers say is left."""
    budget = Budget(share, fixed)
    budget.observe(0.0, limit, None)
    now_s, times = 0.0, []
    for idle_s, left in steps:
        now_s = send(budget, now_s + idle_s)
        times.append(now_s)
        budget.observe(now_s, limit, None if left is None else left * limit)

    assert fullest_window(times) <= limit
    assert fullest_window(times) <= limit * min(share, 0.98) + 1
    assert fullest_window(times, 1.0) <= limit / 60 * 1.25 + 2


@given(limit=st.integers(1, 400), share=SHARES)
@settings(max_examples=30, deadline=None)
def test_a_busy_caller_stays_within_its_share_in_every_minute(limit: int, share: float) -> None:
    """The rest stays free for the app's live users."""
    budget = Budget(share, limit=limit)

    assert fullest_window(burst(budget, 3 * limit)) <= limit * min(share, 0.98) + 1


@given(
    limits=st.tuples(st.integers(20, 400), st.integers(20, 400)),
    share=SHARES,
    others=st.floats(0, 0.9),
    turns=st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.0, 0.1, 3.0, 30.0])), max_size=200),
)
@settings(max_examples=how_many(1000, soak=20_000), deadline=None)
def test_both_groups_stay_within_their_own_share(
    limits: tuple[int, int], share: float, others: float, turns: list[tuple[bool, float]]
) -> None:
    """However they take turns, and whatever somebody else uses of each: in any minute, no more than the share."""
    budgets = [Budget(share), Budget(share)]
    times: tuple[list[float], list[float]] = ([], [])
    now_s = 0.0
    for budget, limit in zip(budgets, limits, strict=True):
        budget.observe(0.0, limit, limit)
    for is_core, idle_s in turns:
        number = int(is_core)
        now_s = send(budgets[number], now_s + idle_s)
        times[number].append(now_s)
        budgets[number].observe(now_s, limits[number], limits[number] * (1 - others))

    assert all(
        fullest_window(sent) <= min(limit, limit * min(share, 0.98) + 1)
        for sent, limit in zip(times, limits, strict=True)
    )


@given(limit=st.integers(100, 600), foreign=st.floats(0.0, 0.8), share=SHARES)
@example(limit=269, foreign=0.009765625, share=0.98)
@settings(max_examples=how_many(60, soak=2000), deadline=None)
def test_we_and_a_neighbour_together_stay_within_the_limit(limit: int, foreign: float, share: float) -> None:
    """What it takes of each minute is left to it, from the first answer on."""
    budget, now_s, times = Budget(share, limit=limit), 0.0, list[float]()
    while now_s < 180:
        now_s = send(budget, now_s)
        times.append(now_s)
        ours = len(times) - bisect_right(times, now_s - 60)
        budget.observe(now_s, limit, max(0.0, limit - ours - limit * foreign))

    # Less than a hundredth may be our own requests under way, and is within what is never used anyway.
    seen = foreign if foreign > 0.01 else 0.0
    assert fullest_window(times) <= max(limit * 0.98 - limit * seen, limit * 0.05) + 2
    assert fullest_window(times) <= max(limit - limit * foreign, limit * 0.05 + 2)


def test_what_was_spent_is_that_of_the_last_minute() -> None:
    """Beside the limit that holds: learnt, else set, else assumed."""
    assumed, fixed, learnt = Budget(0.8), Budget(0.8, fixed=60.0), Budget(0.8, fixed=60.0)
    burst(assumed, 10)
    learnt.observe(0.0, 1000.0, None)

    assert assumed.spent(5.0) == (10, ASSUMED_LIMIT)
    assert assumed.spent(62.0) == (0, ASSUMED_LIMIT)
    assert (fixed.spent(0.0), learnt.spent(0.0)) == ((0, 60.0), (0, 1000.0))


def test_requests_are_evenly_spaced() -> None:
    """Bursts lose against small buckets on the other side."""
    times = burst(Budget(0.5, limit=120), 50)

    assert {round(later - sooner, 9) for sooner, later in pairwise(times)} == {1.0}


def test_idle_time_is_not_saved_up() -> None:
    """After a pause the pace is the same as before."""
    budget = Budget(0.5, limit=120)
    burst(budget, 3)

    assert burst(budget, 3, now_s=500.0) == [500.0, 501.0, 502.0]


def test_the_pace_is_careful_until_a_limit_is_known() -> None:
    """The free plan's 500 a minute, and our share of it: 400."""
    budget = Budget(0.8)

    assert budget.rate(0.0) == 400 == 0.8 * ASSUMED_LIMIT
    assert not budget.is_learnt


def test_the_limit_is_learnt_from_the_answers() -> None:
    """Up as well as down, and the slot that was reserved at the slower pace is not waited for."""
    budget = Budget(0.8)
    budget.take(0.0)
    budget.observe(0.0, 10_000, None)

    assert budget.is_learnt
    assert budget.rate(0.0) == 8000
    assert budget.wait_s(0.0) == pytest.approx(60 / 8000)

    budget.observe(1.0, 100, None)
    assert budget.rate(1.0) == 80


@pytest.mark.parametrize("limit", [None, 0, -5])
def test_nonsense_teaches_nothing(limit: float | None) -> None:
    """An answer without the header leaves everything as it is."""
    budget = Budget(0.8, limit=1000)
    budget.observe(0.0, limit, 3)

    assert budget.rate(0.0) == 800


def test_never_everything_is_used() -> None:
    """At the limit itself, refusals were met; at 98 percent of it none."""
    assert Budget(1.0, limit=1000).rate(0.0) == 980


@pytest.mark.parametrize(("header", "rate"), [(None, 600), (10_000, 600), (500, 400)])
def test_a_rate_of_the_settings_is_only_ever_lowered(header: float | None, rate: float) -> None:
    """The headers know when less is allowed."""
    budget = Budget(0.8, fixed=600)
    budget.observe(0.0, header, None)

    assert budget.rate(0.0) == rate
    assert budget.is_learnt


def test_what_others_use_is_left_to_them() -> None:
    """When the remaining falls faster than we spend, somebody else is there."""
    budget = Budget(0.8, limit=1000)
    burst(budget, 10)
    budget.observe(1.0, 1000, 1000 - 10 - 400)

    assert budget.rate(1.0) == 980 - 400


def test_yielding_never_means_standing_still() -> None:
    """Five percent of the limit remain for us, at the least."""
    budget = Budget(0.8, limit=1000)
    budget.observe(0.0, 1000, 0)

    assert budget.rate(0.0) == 50


def test_our_own_requests_are_nobody_else() -> None:
    """What we sent is not counted as foreign, also while its answers are under way."""
    budget = Budget(0.8, limit=1000)
    burst(budget, 100)
    budget.observe(8.0, 1000, 1000 - 60)

    assert budget.rate(8.0) == 800


def test_a_neighbour_who_left_is_forgotten_after_a_minute() -> None:
    """The most that was seen counts for one window."""
    budget = Budget(0.8, limit=1000)
    for at, used in ((0.0, 500), (30.0, 300), (40.0, 400)):
        budget.observe(at, 1000, 1000 - used)

    assert [budget.rate(at) for at in (40.0, 60.0, 60.1, 100.0, 100.1)] == [480, 480, 580, 580, 800]


def test_groups_know_nothing_of_each_other() -> None:
    """A budget is a value of its own."""
    one, other = Budget(0.8), Budget(0.8)
    one.observe(0.0, 100, 0)
    burst(one, 5)

    assert (other.rate(0.0), other.wait_s(0.0)) == (400, 0.0)
