"""Promises about how full the budgets are: a run of many changes on a virtual clock, against services of each kind."""

from collections.abc import Callable

import pytest

from reconcile.core.pacing import Budget, RateGroup, hungry, in_flight
from tests.core.traffic import (
    CORE,
    COSTS,
    STANDARD,
    WINDOWS,
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    Traffic,
    Window,
)

LIMITS = {CORE: 2_000, STANDARD: 4_000}
BOTH = {"create": 5_400, "update": 2_700}  # fills both: two requests of standard for each of core
WORKERS = in_flight([0.8 * limit for limit in LIMITS.values()], 0.175)


def third_from_30_s(now_s: float) -> float:
    """Nobody at first, then somebody who takes a third."""
    return 0.0 if now_s < 30 else 1 / 3


@pytest.mark.parametrize("share", [0.8, 1.0])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_both_budgets_are_full_and_nothing_is_refused(window: Callable[[int], Window], share: float) -> None:
    """In every full minute, and in none more than is ours."""
    traffic = Traffic(window, LIMITS, share, BOTH, WORKERS).run()

    assert traffic.refused == []
    for group in (CORE, STANDARD):
        minutes = traffic.used(group)
        assert len(minutes) >= 2
        assert all(0.97 <= used <= 1.001 for used in minutes), (group, minutes)


@pytest.mark.parametrize("share", [0.8, 1.0])
@pytest.mark.parametrize("window", [FixedWindow, SlidingWindow])
@pytest.mark.parametrize(
    ("work", "full"),
    [
        pytest.param({"create": 5_000, "update": 0}, CORE, id="creates alone"),
        pytest.param({"create": 5_000, "update": 500}, CORE, id="few updates"),
        pytest.param({"create": 900, "update": 3_800}, STANDARD, id="few creates"),
        pytest.param({"create": 0, "update": 4_200}, STANDARD, id="updates alone"),
    ],
)
def test_where_both_cannot_be_full_the_tighter_one_is(
    window: Callable[[int], Window], share: float, work: dict[str, int], full: RateGroup
) -> None:
    """Whatever there is less of is spread over the time that the rest takes, or comes first."""
    traffic = Traffic(window, LIMITS, share, work, WORKERS).run()
    minutes = traffic.used(full)

    assert traffic.refused == []
    assert len(minutes) >= 2
    assert all(0.97 <= used <= 1.001 for used in minutes), minutes


@pytest.mark.parametrize("latency_s", [(0.001, 0.002), (0.05, 0.3), (0.9, 1.1)], ids=["none", "usual", "slow"])
def test_the_latency_does_not_matter_as_long_as_enough_is_under_way(latency_s: tuple[float, float]) -> None:
    """As many workers as the rates and the latency make, and half as many again."""
    workers = in_flight([0.8 * limit for limit in LIMITS.values()], sum(latency_s) / 2)
    traffic = Traffic(SlidingWindow, LIMITS, 0.8, BOTH, workers, latency_s=latency_s).run()

    assert traffic.refused == []
    assert all(used >= 0.97 for group in LIMITS for used in traffic.used(group))


TELLING = {name: window for name, window in WINDOWS.items() if window is not TokenBucket}


@pytest.mark.parametrize("window", TELLING.values(), ids=TELLING)
def test_a_neighbour_who_comes_is_made_room_for_within_a_window(window: Callable[[int], Window]) -> None:
    """From half a minute on somebody else takes a third of both: a minute later nobody is refused any more."""
    traffic = Traffic(window, LIMITS, 0.8, BOTH, WORKERS, neighbour=third_from_30_s).run()

    assert [at_s for at_s in traffic.refused if at_s > traffic.began_s + 90] == []
    assert len(traffic.refused) <= 10
    assert all(used * 0.8 + 1 / 3 <= 1.01 for group in LIMITS for used in traffic.used(group)[2:])


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_a_neighbour_beside_a_whole_share_costs_few_refusals(window: Callable[[int], Window]) -> None:
    """Without anything in reserve, and of a bucket, which tells nothing of a minute, before it is empty."""
    traffic = Traffic(window, LIMITS, 1.0, BOTH, WORKERS, neighbour=third_from_30_s).run()

    sent = sum(len(times) for times in traffic.sent.values())
    assert len(traffic.refused) <= sent * 0.002


@pytest.mark.parametrize("window", [FixedWindow, SlidingWindow])
def test_a_neighbour_who_comes_and_goes_is_made_room_for(window: Callable[[int], Window]) -> None:
    """A varying third, every half minute another: refused is at the most what the first surprise costs."""
    traffic = Traffic(
        window, LIMITS, 0.8, BOTH, WORKERS, neighbour=lambda s: (0.0, 1 / 3, 1 / 6)[int(s // 30) % 3]
    ).run()

    assert [at_s for at_s in traffic.refused if at_s > traffic.began_s + 90] == []
    assert len(traffic.refused) <= 10
    assert all(used >= 0.6 for group in LIMITS for used in traffic.used(group))


def test_each_budget_has_work_before_it_in_proportion_to_its_rate() -> None:
    """Two creates to one update, where standard is twice as large as core."""
    flying = {"create": 0, "update": 0}
    for _ in range(90):
        flying[hungry(list(COSTS), COSTS, flying, {CORE: 100, STANDARD: 200})] += 1

    assert flying == {"create": 60, "update": 30}


def test_a_lane_that_has_run_out_is_not_chosen() -> None:
    """What is left is worked on, whatever it feeds on."""
    assert hungry(["update"], COSTS, {"create": 0, "update": 50}, {CORE: 100, STANDARD: 200}) == "update"


@pytest.mark.parametrize(
    ("rates", "latency_s", "workers"),
    [
        pytest.param((8_000, 16_000), 0.175, 105, id="usual"),
        pytest.param((9_800, 19_600), 0.175, 129, id="all of it"),
        pytest.param((400, 400), 0.2, 4, id="careful"),
        pytest.param((8_000, 16_000), 0.001, 4, id="next door"),
        pytest.param((8_000, 16_000), 5.0, 192, id="an outage"),
    ],
)
def test_as_many_are_in_flight_as_rate_and_latency_ask_for(
    rates: tuple[float, float], latency_s: float, workers: int
) -> None:
    """Half as many again, so that some wait at the gate; a few at the least, and not without end."""
    assert in_flight(rates, latency_s) == workers


def test_lateness_is_made_up_for() -> None:
    """Each waiter wakes a millisecond late, and the pace stays what it is."""
    budget, now_s, number = Budget(0.8, limit=20_000), 100.0, 0
    while now_s < 110:
        now_s += budget.wait_s(now_s) + 0.001
        budget.take(now_s)
        number += 1

    assert number == pytest.approx(16_000 / 6, rel=0.01)


def test_what_is_made_up_for_is_a_quarter_of_a_second_at_the_most() -> None:
    """A small bucket on the other side would refuse a burst."""
    budget = Budget(0.8, limit=20_000)
    budget.take(100.0)
    free = 0
    while budget.wait_s(100.25) == 0:
        budget.take(100.25)
        free += 1

    assert free <= 67


def test_when_little_is_left_it_is_left() -> None:
    """Whoever used it: the window fills up again while we wait, and at once when it says so."""
    budget = Budget(1.0, limit=1000)
    budget.observe(0.0, 1000, 5)
    slow = budget.rate(0.0)
    budget.observe(0.1, 1000, 1000)

    assert slow <= 500
    assert budget.rate(61.0) == 980
