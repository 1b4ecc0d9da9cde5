"""Promises about what is said of users that changed after the export."""

import pytest

from reconcile.core.found import Found
from reconcile.core.newer import newer_cautions, newer_notes
from tests.builders import a_row, a_user, findings, summed


def bought(number: int) -> Found:
    """So many users whose role was perhaps bought after the export, one stale one, and one outside the source."""
    uids = [f"kiwi-{at}" for at in range(number)]
    rows = [*(a_row(uid, role="default") for uid in uids), a_row("stale", name="New")]
    users = [a_user(uid=uid, role="premium", created_at=1, updated_at=200) for uid in uids]
    others = [a_user(uid="stale", created_at=1, updated_at=150), a_user(uid="outside", created_at=150)]
    return summed(findings(rows, [*users, *others], as_of=100, ours={"kiwi-0": 200} if number > 4 else {}))


def test_nothing_is_said_where_nobody_changed() -> None:
    """Silence is the usual case."""
    found = summed(findings([a_row("kiwi", role="premium")], [a_user()], as_of=1_800_000_000))

    assert [*newer_notes(found, updates=True), *newer_cautions(found, updates=True)] == []


@pytest.mark.parametrize(("updates", "fate"), [(True, "updated as the export says"), (False, "left as they are")])
def test_the_notes_say_how_many_and_what_becomes_of_them(updates: bool, fate: str) -> None:  # noqa: FBT001
    """Role changes apart, and the users outside the source apart."""
    drifted, outside = newer_notes(bought(2), updates=updates)

    assert drifted.startswith("3 drifted users changed")
    assert "2 of them differ in role" in drifted
    assert fate in drifted
    assert outside.startswith("1 users outside the source")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "kiwi-0 (premium -> default);"),
        (3, "kiwi-2 (premium -> default);"),
        (6, "kiwi-3 (premium -> default) and 2 more;"),
    ],
)
def test_a_role_that_would_be_undone_is_named_with_the_user(number: int, words: str) -> None:
    """A few by name, the rest by number; what we wrote ourselves is not among them."""
    (caution,) = newer_cautions(bought(number), updates=True)

    assert words in caution
    assert list(newer_cautions(bought(number), updates=False)) == []
