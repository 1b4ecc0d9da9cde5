"""Promises about what a plan says of itself before it is carried out."""

from reconcile.core.forecast import action_counts, bases_of, forecast
from reconcile.core.guards import Bases, GuardClass
from reconcile.core.pacing import RateGroup
from tests.builders import a_row, a_user, findings, summed

COUNTS = {
    GuardClass.CREATE: 10,
    GuardClass.UPDATE: 20,
    GuardClass.ROLE_CHANGE: 3,
    GuardClass.CLEAR: 2,
    GuardClass.REACTIVATE: 26,
    GuardClass.DEACTIVATE: 50,
}
RATES = {RateGroup.CORE: 60.0, RateGroup.STANDARD: 120.0}
LIMITS = {RateGroup.CORE: 100.0, RateGroup.STANDARD: 200.0}


def test_changes_are_counted_by_action_and_the_held_ones_are_a_part_of_them() -> None:
    """Three classes are updates."""
    counts = action_counts(COUNTS, frozenset({GuardClass.CLEAR, GuardClass.CREATE}))

    assert counts == {"create": 10, "update": 25, "reactivate": 26, "deactivate": 50, "held": 12}


def test_the_slower_group_decides_how_long_it_takes() -> None:
    """A look and a write each, calls for 25 users at a time, and a list of the deactivated to read back."""
    cost = forecast(COUNTS, RATES, LIMITS, "")

    assert (cost.core, cost.standard) == (10 + 2 + 2, 10 + 2 * 25 + 50 + 5 + 26)
    assert (cost.requests, cost.seconds) == (155, 70)


def test_a_forecast_says_what_share_of_the_budget_it_takes() -> None:
    """Of a minute, where it takes less than one; in the group that decides, our share of the limit, where it takes more."""
    cost = forecast(COUNTS, RATES, LIMITS, "")
    more = forecast({GuardClass.UPDATE: 600}, RATES, LIMITS, "")

    assert cost.share == {"core": 0.119149, "standard": 0.6}
    assert more.share == {"core": 0.0, "standard": 0.6}


def test_of_an_unknown_limit_nobody_knows_the_share() -> None:
    """The rate is ours to choose then, and the app's budget is not known."""
    limits = {RateGroup.CORE: None, RateGroup.STANDARD: None}

    assert forecast(COUNTS, RATES, limits, "").share == {"core": None, "standard": None}


def test_nothing_that_is_due_costs_nothing() -> None:
    """As on a night on which all is held."""
    assert forecast({}, RATES, LIMITS, "").requests == 0


def test_percentages_are_of_what_the_walk_saw() -> None:
    """Matched active, seen, seen active, seen deactivated."""
    users = [a_user(), a_user(uid="wren"), a_user(uid="owl", deactivated_at=5)]

    assert bases_of(summed(findings([a_row(), a_row("owl")], users))) == Bases(1, 3, 2, 1)
