"""Promises about values that CometChat took and did not keep: when they are tried again, and what is said of them."""

import pytest

from reconcile.core.diff import Comparison
from reconcile.core.found import Decided, conclude, merged
from reconcile.core.report import DriftCounts, command_in, end_codes, headline, verdict_of
from reconcile.core.sticking import Known, Tried, known_of, known_words, waiting
from reconcile.errors import ExitCode
from tests.builders import a_desired, a_row, a_user, feed
from tests.core.test_report import PLAN

NOW, DAY = 1_800_000_000, 86_400
KIWI = ("kiwi", "name", "Kiwi")


@pytest.mark.parametrize(("tries", "days"), [(1, 1), (2, 3), (3, 7), (4, 7), (20, 7)])
def test_a_value_waits_longer_after_each_try_and_then_a_week(tries: int, days: int) -> None:
    """Counted from the last try; a night that starts an hour earlier than the last one counts too."""
    tried = Tried(*KIWI, tries, NOW)

    assert not tried.is_due(NOW)
    assert not tried.is_due(NOW + days * DAY - 3_601)
    assert tried.is_due(NOW + days * DAY - 3_600)
    assert tried.is_due(NOW + 100 * DAY)


def test_an_entry_of_an_older_version_is_due_at_once() -> None:
    """It has no date."""
    assert waiting([Tried(*KIWI), Tried("fig", "name", "Fig", 1, NOW)], NOW + 60) == {("fig", "name", "Fig")}


def test_a_last_try_in_the_future_is_no_reason_to_wait() -> None:
    """A clock that once ran ahead would put the next try off for years."""
    assert Tried(*KIWI, 1, NOW + 10 * 365 * DAY).is_due(NOW)
    assert not Tried(*KIWI, 1, NOW + 60).is_due(NOW)


def test_what_is_known_to_differ_is_told_with_every_remedy() -> None:
    """How many, who and which fields, what mends it, when it is tried again, and the command that tries it now."""
    tried = [Tried("a", "name", "A", 1, NOW), Tried("a", "tags", "", 3, NOW), Tried("b", "name", "B", 2, NOW)]
    known = known_of([("a", "tags"), ("a", "name"), ("b", "name")], tried)

    assert known_words(known, "RUN") == (
        "2 users are known to differ (0 new): CometChat took 3 values and did not keep them; mend the value in the "
        "source, unmap the field, or protect the user (policy.protect); the next try is after 2027-01-16 08:00 UTC; "
        "to try now: reconcile retry RUN; named: a (name, tags), b (name)"
    )
    assert command_in(known_words(known, "RUN")) == "reconcile retry RUN"
    assert "1 user is known to differ (0 new): CometChat took 1 value and did not keep it" in known_words(
        Known((("a", "name"),)), "RUN"
    )


def test_of_many_users_five_are_named() -> None:
    """The rest is counted."""
    words = known_words(Known(tuple((f"u{n}", "name") for n in range(8))), "RUN")

    assert words.endswith("u3 (name), u4 (name) and 3 more")


def test_a_known_difference_is_never_a_success() -> None:
    """Exit code 4 where nothing is planned, also with --check; never "in step"."""
    drift = DriftCounts(in_step=1, drifted=5, known_differences=5, known_values=5)
    code = end_codes(None, drift, check=True, planned=1)

    assert code is end_codes(None, drift) is ExitCode.INCOMPLETE
    assert verdict_of(code, planned=0, applied=True, is_canary=False, is_held=False) == "incomplete"


def test_the_headline_says_what_is_known() -> None:
    """Nor does it claim that fields agree which no answer shows, or that users do who are left alone."""
    differs = DriftCounts(drifted=5, known_differences=5)

    assert headline("in_step", PLAN, None, uncompared={"metadata.a", "metadata.b", "tags"}) == (
        "In step: nothing to change. Not compared: metadata, tags."
    )
    assert headline("in_step", PLAN, None, drift=DriftCounts(drifted=2)) == (
        "Nothing to change: 2 drifted users are newer than the export and left alone."
    )
    assert headline("incomplete", PLAN, None, drift=differs).endswith("; 5 users are known to differ.")


# What of it a comparison finds


def test_each_entry_is_of_somebody_who_differs_of_nobody_or_outdated() -> None:
    """A value that holds, or that the source no longer asks for, and a user who left the source or is protected."""
    rows = [a_row("holds"), a_row("other", name="New"), a_row("still", name="New"), a_row("mine"), a_row("unsure")]
    users = [a_user(uid="holds"), a_user(uid="other"), a_user(uid="still"), a_user(uid="mine", name="x")]
    comparison = Comparison(a_desired(*rows), protect=("mine",))
    comparison.settle_unknown(["unsure"])
    feed(comparison, *users)
    known = {
        ("holds", "name", "Kiwi"),
        ("other", "name", "Older"),
        ("still", "name", "New"),
        ("mine", "name", "Kiwi"),
        ("unsure", "name", "Kiwi"),
        ("left", "name", "Kiwi"),
        ("still", "avatar", ""),
    }
    decided = Decided(stuck=frozenset({("still", "name", "New")}), known=frozenset(known))
    found = conclude(comparison.close(whole=True, known=known), decided)[1]

    assert found.stuck == (("still", "name"),)
    assert found.outdated == (("holds", "name"), ("mine", "name"), ("other", "name"), ("still", "avatar"))
    assert found.elsewhere == (("left", "name"),)
    assert merged([found, found]).elsewhere == (("left", "name"), ("left", "name"))
