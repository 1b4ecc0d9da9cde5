"""Promises about how a change may end."""

import pytest

from reconcile.core.outcome import Outcome, Settled, empty_tally


def test_a_tally_names_every_outcome() -> None:
    """Also those that did not occur."""
    assert empty_tally({"applied": 2}) == {outcome.value: 2 * (outcome == "applied") for outcome in Outcome}


@pytest.mark.parametrize("outcome", Outcome)
def test_rejected_skipped_and_failed_need_a_person(outcome: Outcome) -> None:
    """Held and not attempted are somebody's choice."""
    assert Settled(outcome).needs_a_person is (outcome.value in {"rejected", "skipped", "failed"})
