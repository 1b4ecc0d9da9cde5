"""Promises about a saved plan: where it is refused, and what a person may release."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from reconcile.core.guards import GuardClass, GuardVerdict
from reconcile.core.plan import Forecast, PlanHeader, PlanSource
from reconcile.core.review import refusals, release

MADE = datetime(2026, 11, 23, tzinfo=UTC)
HEADER = PlanHeader(
    run_id="run",
    app_id="app",
    host="localhost:443",
    created_at=MADE.isoformat(),
    fields=("name",),
    visible=("name",),
    settings={"source": "1", "policy": "2"},
    declared={},
    source=PlanSource("users.csv", 3, None, None),
    counts={"update": 12, "held": 12},
    guards=(GuardVerdict("update", 12, 100, 10, "held", "release", "12 is over the limit of 10"),),
    forecast=Forecast(0, 0, 0, 0),
)


def why_not(**but: Any) -> list[str]:
    """The refusals of a plan that belongs here but for one thing."""
    known: dict[str, Any] = {
        "app": ("app", "localhost:443"),
        "settings": {"source": "1", "policy": "2"},
        "now": MADE + timedelta(hours=24),
        "oldest": (86400.0, "24h"),
    }
    return refusals(HEADER, **(known | but))


@pytest.mark.parametrize(
    ("but", "words"),
    [
        ({"app": ("other", "localhost:443")}, "it is for the app app at localhost:443"),
        ({"app": ("app", "localhost:444")}, "it is for the app"),
        ({"settings": {"source": "1", "policy": "3"}}, "[policy] differ"),
        ({"settings": {"fields": "1"}}, "[fields] differ"),
        ({"now": MADE + timedelta(hours=24, seconds=1)}, "it is older than 24h"),
    ],
)
def test_a_plan_is_refused_where_it_does_not_belong(but: dict[str, Any], words: str) -> None:
    """Another app, another mapping, another day."""
    (reason,) = why_not(**but)

    assert words in reason


def test_a_plan_that_belongs_here_is_not_refused() -> None:
    """Up to the last second, or for ever where no age is set."""
    assert why_not() == []
    assert why_not(now=MADE + timedelta(days=999), oldest=(None, "none")) == []


@pytest.mark.parametrize(
    ("ceilings", "verdict"),
    [({}, "held"), ({"update": 11}, "held"), ({"update": 12}, "released"), ({"clear": 99}, "held")],
)
def test_a_held_class_passes_under_the_ceiling_that_a_person_gave(ceilings: dict[str, int], verdict: str) -> None:
    """For this class, and for at most so many changes."""
    header = release(HEADER, ceilings)

    assert header.guards[0].verdict == verdict
    assert header.counts["held"] == (12 if verdict == "held" else 0)
    assert header.held == (frozenset({GuardClass.UPDATE}) if verdict == "held" else frozenset())


def test_a_ceiling_for_no_class_is_an_error() -> None:
    """A typing mistake does not pass in silence."""
    with pytest.raises(ValueError, match="no such class: updates"):
        release(HEADER, {"updates": 1})


def test_a_ceiling_for_a_class_that_only_a_plan_made_for_it_has_is_an_error() -> None:
    """Nobody is to believe that it let somebody pass."""
    with pytest.raises(ValueError, match="make one: reconcile plan --release reactivate_foreign=N"):
        release(HEADER, {"reactivate_foreign": 1})


def test_a_header_survives_the_way_through_json() -> None:
    """It is the first line of the plan file."""
    assert msgspec.json.decode(msgspec.json.encode(HEADER), type=PlanHeader) == HEADER
