"""Promises about the sums of a comparison, and about those of several partitions."""

from collections.abc import Iterable

import pytest

from reconcile.core.diff import Comparison
from reconcile.core.found import Decided, Found, conclude, merged
from reconcile.core.left import banned_notes, forgotten_notes, listed, protection_notes
from reconcile.core.plan import PlanPolicy
from reconcile.core.users import DirectoryUser
from tests.builders import Row, a_comparison, a_desired, a_row, a_user, by_us, feed, findings, summed

OFF = 1_700_000_500
POLICY = PlanPolicy(deactivate_unmanaged=True, reactivate=True)
DECIDED = Decided(POLICY, ours=by_us("fig"), stuck=frozenset({("tui", "name", "Tui")}))
PATTERNS = ("owl", "bot-*", "nobody-*")

# One user for each that a sum counts: in step, missing, stale, of another role, bought, stuck, switched off by us and by
# another, protected on both sides, outside, and outside and switched off.
WORLD: dict[str, tuple[Row | None, DirectoryUser | None]] = {
    "kiwi": (a_row(), a_user()),
    "ani": (a_row("ani"), None),
    "lime": (a_row("lime", name="Lime"), a_user(uid="lime")),
    "moa": (a_row("moa", role="premium"), a_user(uid="moa")),
    "pea": (a_row("pea", role="default"), a_user(uid="pea", role="premium", updated_at=1_900_000_000)),
    "new": (a_row("new", role="default"), a_user(uid="new", role=None, updated_at=1_900_000_000)),
    "old": (a_row("old", name="Old"), a_user(uid="old", updated_at=1_900_000_000)),
    "tui": (a_row("tui", name="Tui"), a_user(uid="tui")),
    "fig": (a_row("fig"), a_user(uid="fig", deactivated_at=OFF)),
    "ban": (a_row("ban"), a_user(uid="ban", deactivated_at=OFF)),
    "owl": (a_row("owl", name="Owl"), a_user(uid="owl")),
    "bot-1": (None, a_user(uid="bot-1")),
    "wren": (None, a_user(uid="wren")),
    "gull": (None, a_user(uid="gull", deactivated_at=OFF)),
}


def found_in(uids: Iterable[str]) -> Found:
    """What is found where these users are all there are."""
    pairs = [WORLD[uid] for uid in uids]
    comparison = a_comparison(*(row for row, _ in pairs if row), protect=PATTERNS, as_of=1_800_000_000)
    feed(comparison, *(user for _, user in pairs if user))
    return conclude(comparison.close(whole=True), DECIDED)[1]


def test_what_never_sticks_is_counted_and_not_planned() -> None:
    """The values that are left out, and the classes of what is left."""
    found = found_in(WORLD)

    assert found.stuck == (("tui", "name"),)
    assert {kind.value: number for kind, number in found.classes.items() if number} == {
        "create": 1,
        "update": 2,
        "role_change": 3,
        "reactivate": 1,
        "deactivate": 1,
    }


def test_those_of_another_hand_are_named_and_those_of_ours_are_not() -> None:
    """Whom our own runs switched off may come back by policy."""
    found = found_in(WORLD)

    assert (found.banned.count, found.banned.first) == (1, ("ban",))


def test_roles_that_changed_after_the_export_are_named_from_what_to_what() -> None:
    """Not the profile of `old`, which changed since then too."""
    found = found_in(WORLD)

    assert found.bought.first == ("new (none -> default)", "pea (premium -> default)")
    assert found_in(["kiwi", "old"]).bought.count == 0


def test_unmanaged_and_protected_users_are_named_in_order() -> None:
    """A pattern that names nobody is there with nobody."""
    found = found_in(WORLD)

    assert found.unmanaged_users.first == ("wren",)
    assert {pattern: users.first for pattern, users in found.protected.items()} == {
        "owl": ("owl",),
        "bot-*": ("bot-1",),
        "nobody-*": (),
    }


@pytest.mark.parametrize("apart", [1, 2, 3, 14])
def test_partitions_come_to_what_the_whole_comes_to(apart: int) -> None:
    """A user is in one of them, so everything adds up, and the names come back in order."""
    parts = [found_in(sorted(WORLD)[at::apart]) for at in range(apart)]

    assert merged(parts) == found_in(WORLD)


def test_unmanaged_stays_unknown_when_it_is_so_in_every_part() -> None:
    """Where not all was read, no number stands for it."""
    part = conclude(feed(a_comparison(a_row()), a_user()).close(whole=False), Decided())[1]

    assert merged([part, part]).counts.unmanaged is None
    assert merged([part, part]).counts.matched == 2


def test_of_many_the_first_thousand_are_named_and_all_are_counted() -> None:
    """Also of those that several partitions name."""
    uids = sorted(f"wren-{n}" for n in range(1_500))
    whole = summed(findings([a_row()], [a_user(), *(a_user(uid=uid) for uid in uids)]))
    halves = [summed(findings([a_row()], [a_user(uid=uid) for uid in uids[at::2]])) for at in range(2)]
    both = merged(halves)

    assert (whole.unmanaged_users.count, whole.unmanaged_users.first) == (1_500, tuple(uids[:1_000]))
    assert (both.unmanaged_users.count, len(both.unmanaged_users.first)) == (1_500, 1_000)
    assert both.unmanaged_users.first[:1_000] == whole.unmanaged_users.first


def test_whoever_is_left_alone_is_said_with_the_way_back() -> None:
    """The rule that protects, the pattern that may be misspelt, and the command for those of another hand."""
    found = found_in(WORLD)

    assert list(protection_notes(found)) == [
        'protected by "owl" (policy.protect): 1 user: owl',
        'protected by "bot-*" (policy.protect): 1 user: bot-1',
        'policy.protect: "nobody-*" matches nobody; is it misspelt?',
    ]
    assert list(banned_notes(found, reactivates=True)) == [
        "1 users of the source stay deactivated, because another hand did that; all of them, and the way back: "
        "reconcile plan --release reactivate_foreign=1; they are: ban"
    ]
    assert [*banned_notes(found, reactivates=False), *forgotten_notes(found)] == []


def test_a_pattern_is_not_called_misspelt_where_not_all_was_read() -> None:
    """Nor is one that most apps do not need."""
    part = feed(a_comparison(a_row(), protect=("nobody-*",)), a_user()).close(whole=False)
    whole = findings([a_row()], [a_user()], protect=("app_system",))

    assert [*protection_notes(summed(part)), *protection_notes(summed(whole))] == []


@pytest.mark.parametrize(("number", "more"), [(5, ""), (7, " and 2 more"), (1_500, " and 1495 more")])
def test_a_few_are_named_and_the_rest_counted(number: int, more: str) -> None:
    """Five names, in order; also of more than a sum holds the names of, and of those whom another hand switched off."""
    uids = [f"bot-{n:04}" for n in range(number)]
    rows = [a_row(), *(a_row(uid) for uid in uids)]
    guarded = summed(findings([a_row()], [a_user(), *(a_user(uid=uid) for uid in uids)], protect=("bot-*",)))
    off = summed(findings(rows, [a_user(), *(a_user(uid=uid, deactivated_at=OFF) for uid in uids)]))
    named = f"bot-0000, bot-0001, bot-0002, bot-0003, bot-0004{more}"

    assert list(protection_notes(guarded)) == [f'protected by "bot-*" (policy.protect): {number} users: {named}']
    assert next(banned_notes(off, reactivates=True)).endswith(f"they are: {named}")
    assert listed(uids) == named


def test_the_forgotten_are_counted_and_not_named() -> None:
    """Inside the source and outside apart."""
    comparison = Comparison(
        a_desired(a_row("ani"), a_row()), forgotten=lambda uids: [uid for uid in uids if uid in {"ani", "owl"}]
    )
    found = summed(feed(comparison, a_user(), a_user(uid="owl")).close(whole=True))

    assert list(forgotten_notes(found)) == [
        "1 users of the source were forgotten: they are left alone",
        "1 users that CometChat has and the source has not were forgotten: they are left alone",
    ]
