"""Promises about the comparison: which situation each user is in, and what it takes to believe it."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from reconcile.core.actual import folded
from reconcile.core.diff import Comparison
from reconcile.core.findings import Findings
from reconcile.core.mapping import ColumnKind
from reconcile.core.users import Situation, fingerprint
from tests.builders import (
    a_block,
    a_comparison,
    a_desired,
    a_mapping,
    a_row,
    a_typed,
    a_user,
    feed,
    findings,
)

OFF = 1_700_000_500


def situations(found: Findings) -> dict[str, int]:
    """The situations that occur."""
    return {situation.value: number for situation, number in found.counts.situations.items() if number}


def test_each_desired_user_is_in_one_situation() -> None:
    """In step, missing, drifted and deactivated, side by side."""
    rows = [a_row("kiwi"), a_row("fig"), a_row("plum"), a_row("pear")]
    users = [a_user(uid="kiwi"), a_user(uid="plum", name="Plum"), a_user(uid="pear", deactivated_at=OFF)]

    found = findings(rows, users)

    assert situations(found) == {"in_step": 1, "missing": 1, "drifted": 1, "deactivated": 1}
    counts = found.counts
    assert (counts.seen, counts.seen_deactivated, counts.matched, counts.matched_active) == (3, 1, 3, 2)


@pytest.mark.parametrize(
    ("cells", "stale", "mismatched"),
    [
        ({"role": "default"}, 0, 0),
        ({"role": "vip"}, 0, 1),
        ({"role": ""}, 0, 0),
        ({"role": "default", "name": "Lime"}, 1, 0),
        ({"role": "vip", "name": "Lime"}, 1, 1),
    ],
)
def test_a_role_change_alone_is_not_a_stale_profile(cells: dict[str, str], stale: int, mismatched: int) -> None:
    """One user may have both reasons, and an empty role is none."""
    found = findings([a_row() | cells], [a_user()])

    assert (found.counts.stale, found.counts.role_mismatched) == (stale, mismatched)


def test_a_profile_is_stale_whichever_of_its_fields_differs() -> None:
    """The first, the last, or both; each user counts once."""
    owl = "https://example.org/owl"
    rows = [a_row("kiwi", name="New"), a_row("fig", avatar=owl), a_row("owl", name="New", avatar=owl)]
    users = [a_user(), a_user(uid="fig"), a_user(uid="owl")]

    assert findings(rows, users, mapping=a_mapping("name", "avatar")).counts.stale == 3


def test_two_missing_values_agree() -> None:
    """A user without an avatar on both sides is in step."""
    mapping = a_mapping("name", "avatar", "tags", "metadata.a")

    assert situations(findings([a_row()], [a_user()], mapping=mapping)) == {"in_step": 1}


@pytest.mark.parametrize(("keep", "situation"), [(False, "drifted"), (True, "in_step")])
def test_an_empty_cell_clears_or_keeps_as_the_policy_says(keep: bool, situation: str) -> None:  # noqa: FBT001
    """Under `keep` what stands there is nobody's business."""
    mapping = a_mapping("name", "avatar", "tags", "metadata.a", keep_empty=keep)
    user = a_user(avatar="https://example.org/kiwi", tags=["fig"], metadata={"a": "b"})

    found = findings([a_row()], [user], mapping=mapping)

    assert situations(found) == {situation: 1}
    assert [change.differing for change in found.drifted()] == ([] if keep else [("avatar", "tags", "metadata.a")])


@pytest.mark.parametrize("keep", [False, True])
def test_a_value_that_the_directory_lacks_is_set_under_either_policy(keep: bool) -> None:  # noqa: FBT001
    """To keep is about empty cells alone."""
    mapping = a_mapping("name", "avatar", "tags", "metadata.a", keep_empty=keep)
    row = a_row(avatar="https://example.org/kiwi", tags="fig", metadata__a="b")
    (difference,) = findings([row], [a_user()], mapping=mapping).drifted()

    assert difference.differing == ("avatar", "tags", "metadata.a")


def test_an_empty_status_message_is_kept() -> None:
    """No known call clears it, so it would drift for ever."""
    found = findings([a_row()], [a_user(status_message="out")], mapping=a_mapping("name", "statusMessage"))

    assert situations(found) == {"in_step": 1}


def test_only_managed_fields_are_compared() -> None:
    """Foreign metadata keys and unmapped fields are left as they are."""
    mapping = a_mapping("name", "metadata.a")
    user = a_user(link="https://example.org", role="vip", metadata={"a": "b", "foreign": 1})

    assert situations(findings([a_row(metadata__a="b")], [user], mapping=mapping)) == {"in_step": 1}


def test_tags_and_metadata_are_compared_by_meaning() -> None:
    """Order of tags, order of keys and the spelling of a number are no drift."""
    mapping = a_mapping("name", "tags", a_typed("a", ColumnKind.JSON), a_typed("n", ColumnKind.NUMBER))
    row = a_row(tags="fig|plum", metadata__a='{"x": 1, "y": [2.0]}', metadata__n="3.0")
    user = a_user(tags=["plum", "fig", "fig"], metadata={"n": 3, "a": {"y": [2], "x": 1.0}})

    assert situations(findings([row], [user], mapping=mapping)) == {"in_step": 1}


def test_text_metadata_and_a_number_are_not_the_same() -> None:
    """The declared type counts: the text 3 is not the number 3."""
    mapping = a_mapping("name", "metadata.n")

    assert situations(findings([a_row(metadata__n="3")], [a_user(metadata={"n": 3})], mapping=mapping)) == {
        "drifted": 1
    }


def test_a_difference_shows_both_sides_and_the_source_row() -> None:
    """All that a plan needs, in normal form."""
    (difference,) = findings([a_row("fig"), a_row(role="vip")], [a_user(name="Lime")]).drifted()

    assert (difference.uid, difference.source_row, difference.differing) == ("kiwi", 3, ("name", "role"))
    assert difference.desired == {"name": "Kiwi", "role": "vip"}
    assert difference.actual == {"name": "Lime", "role": "default"}


def test_differences_come_by_uid_whatever_the_order() -> None:
    """The same states give the same list."""
    rows = [a_row(uid, name="New") for uid in ("plum", "fig", "kiwi")]
    users = [a_user(uid=uid) for uid in ("kiwi", "plum", "fig")]

    assert [difference.uid for difference in findings(rows, users).drifted()] == ["fig", "kiwi", "plum"]
    missing = list(findings(rows, []).missing())
    assert [(user.uid, user.source_row) for user in missing] == [("fig", 3), ("kiwi", 4), ("plum", 2)]


def test_active_users_outside_the_source_are_unmanaged() -> None:
    """Unless they are deactivated, which is counted apart."""
    found = findings([a_row()], [a_user(), a_user(uid="wren"), a_user(uid="owl", deactivated_at=OFF)])

    assert found.unmanaged_rows["uid"].tolist() == ["wren"]
    counts = found.counts
    assert (counts.unmanaged, counts.deactivated_outside, counts.seen, counts.seen_deactivated) == (1, 1, 3, 1)


def test_protected_users_are_shown_and_never_touched() -> None:
    """Inside the source they have a situation of their own, outside they are shielded."""
    rows = [a_row("bot-1", name="New"), a_row("bot-2"), a_row("kiwi")]
    users = [a_user(uid="bot-1"), a_user(uid="bot-3"), a_user(uid="app_system"), a_user()]

    found = findings(rows, users, protect=("BOT-*", "app_system"))

    assert situations(found) == {"protected": 2, "in_step": 1}
    assert (found.counts.unmanaged, found.counts.shielded, found.counts.matched) == (0, 2, 2)


def test_each_pattern_names_whom_it_protects() -> None:
    """On both sides, active or not, by uid; and one that matches nobody is seen to."""
    rows = [a_row("bot-2"), a_row("kiwi")]
    users = [a_user(uid="bot-1"), a_user(uid="bot-0", deactivated_at=OFF), a_user(uid="bot-2"), a_user()]

    found = findings(rows, users, protect=("bot-*", "*-1", "wren"))

    assert found.protected_by == {"bot-*": ("bot-0", "bot-1", "bot-2"), "*-1": ("bot-1",), "wren": ()}


def test_whom_nothing_is_to_name_is_left_alone_and_named_nowhere() -> None:
    """Forgotten users count on both sides, like protected ones, and no pattern names them."""
    gone = {"kiwi", "bot-1", "nobody"}
    desired = a_desired(a_row(name="New"), a_row("fig"))
    comparison = Comparison(desired, protect=("bot-*",), forgotten=lambda uids: {*uids} & gone)
    users = [a_user(), a_user(uid="fig"), a_user(uid="bot-1"), a_user(uid="bot-2"), a_user(uid="wren")]
    found = feed(comparison, *users).close(whole=True)

    assert situations(found) == {"protected": 1, "in_step": 1}
    counts = found.counts
    assert (counts.forgotten, counts.forgotten_outside, counts.shielded, counts.unmanaged) == (1, 1, 2, 1)
    assert found.protected_by == {"bot-*": ("bot-2",)}


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("ki?i", 1),
        ("k[a-z]wi", 1),
        ("[!k]*", 0),
        ("kiw", 0),
        ("*", 1),
        ("*i*i", 1),
        ("k*w*", 1),
        ("*w*k*", 0),
    ],
)
def test_protection_is_by_shell_patterns_over_the_whole_uid(pattern: str, hit: int) -> None:
    """A pattern never matches a part."""
    assert situations(findings([a_row()], [a_user()], protect=(pattern,))).get("protected", 0) == hit


def test_a_protected_user_that_is_deactivated_stays_protected() -> None:
    """It is seen, it is matched, and nothing follows from it."""
    found = findings([a_row()], [a_user(deactivated_at=OFF)], protect=("kiwi",))

    assert situations(found) == {"protected": 1}
    assert list(found.deactivated()) == []


def test_a_user_that_a_quarantined_row_names_is_shielded() -> None:
    """Its row is broken, which is no reason to call it unmanaged."""
    found = findings([a_row("wren", name=""), a_row()], [a_user(), a_user(uid="wren")])

    assert (found.counts.unmanaged, found.counts.shielded) == (0, 1)
    assert situations(found) == {"in_step": 1}


def test_nobody_is_missing_until_somebody_says_so() -> None:
    """One walk is never evidence of absence."""
    comparison = a_comparison(a_row("kiwi"), a_row("fig"))
    comparison.see(a_block(a_user()))

    assert comparison.unseen() == ["fig"]
    assert situations(comparison.close(whole=True)) == {"in_step": 1}

    comparison.settle_unseen()
    assert situations(comparison.close(whole=True)) == {"in_step": 1, "missing": 1}


def test_a_second_look_that_finds_the_user_wins() -> None:
    """Paging skips users when others change under it."""
    comparison = a_comparison(a_row("kiwi"), a_row("fig"))
    comparison.see(a_block(a_user()))
    comparison.see(a_block(a_user(uid="fig")))
    comparison.settle_unseen()

    assert situations(comparison.close(whole=True)) == {"in_step": 2}


def test_what_the_directory_could_not_say_is_unknown() -> None:
    """Neither missing nor anything else."""
    comparison = a_comparison(a_row("fig"), a_row("kiwi"), a_row("owl"))
    comparison.settle_unknown(["fig", "nobody"])
    feed(comparison, a_user())

    assert situations(comparison.close(whole=True)) == {"in_step": 1, "unknown": 1, "missing": 1}


@pytest.mark.parametrize(("later", "situation"), [({}, "in_step"), ({"deactivated_at": OFF}, "deactivated")])
def test_a_walk_may_still_say_what_a_look_could_not(later: dict[str, int], situation: str) -> None:
    """Once it is seen, it is no longer unknown."""
    comparison = a_comparison(a_row())
    comparison.settle_unknown(["kiwi"])
    feed(comparison, a_user(**later))

    assert situations(comparison.close(whole=True)) == {situation: 1}


def disputed() -> Comparison:
    """Two users that both walks showed: one of the source, one outside."""
    users = [a_user(name="Lime"), a_user(uid="wren")]
    gone = [a_user(name="Lime", deactivated_at=OFF), a_user(uid="wren", deactivated_at=OFF)]
    return feed(a_comparison(a_row()), *users, *gone)


def test_a_user_that_both_walks_showed_is_disputed() -> None:
    """A look at the user has to settle it."""
    assert disputed().disputed() == ["kiwi", "wren"]


def test_settled_as_active_counts_as_active() -> None:
    """The comparison of the active row holds."""
    comparison = disputed()
    for uid in ("kiwi", "wren"):
        comparison.settle_active(uid)
    found = comparison.close(whole=True)

    assert comparison.disputed() == []
    assert situations(found) == {"drifted": 1}
    counts = found.counts
    assert (counts.seen, counts.unmanaged, counts.deactivated_outside, counts.seen_deactivated) == (2, 1, 0, 0)


def test_settled_as_deactivated_counts_as_deactivated() -> None:
    """The drift of its active row is forgotten."""
    comparison = disputed()
    for uid in ("kiwi", "wren"):
        comparison.settle_deactivated(uid)
    found = comparison.close(whole=True)

    assert comparison.disputed() == []
    assert situations(found) == {"deactivated": 1}
    assert (list(found.drifted()), [user.uid for user in found.deactivated()]) == ([], ["kiwi"])
    assert (found.counts.seen, found.counts.unmanaged, found.counts.deactivated_outside) == (2, 0, 1)


def test_what_no_look_could_settle_is_unknown_and_left_alone() -> None:
    """It is counted once, and nothing is written because of it."""
    comparison = disputed()
    for uid in ("kiwi", "wren"):
        comparison.settle_unsure(uid)
    found = comparison.close(whole=True)

    assert comparison.disputed() == []
    assert situations(found) == {"unknown": 1}
    assert (found.counts.seen, found.counts.unmanaged, found.counts.deactivated_outside) == (2, 0, 1)


@pytest.mark.parametrize(
    "settle", [Comparison.settle_active, Comparison.settle_deactivated, Comparison.settle_unsure]
)
def test_a_protected_user_stays_protected_however_it_is_settled(settle: Callable[[Comparison, str], None]) -> None:
    """Nothing that is found out about it makes it ours to write."""
    comparison = feed(a_comparison(a_row(), protect=("kiwi",)), a_user(name="Lime"), a_user(deactivated_at=OFF))
    settle(comparison, "kiwi")
    found = comparison.close(whole=True)

    assert comparison.disputed() == []
    assert situations(found) == {"protected": 1}
    assert found.counts.seen == 1


def test_a_deactivated_row_in_the_default_list_counts_as_deactivated() -> None:
    """Every row is looked at, whatever the flags were meant to do."""
    comparison = a_comparison(a_row(), a_row("fig"))
    comparison.see(a_block(a_user(deactivated_at=OFF), a_user(uid="fig"), a_user(uid="owl", deactivated_at=OFF)))
    found = comparison.close(whole=True)

    assert situations(found) == {"in_step": 1, "deactivated": 1}
    assert (found.counts.unmanaged, found.counts.deactivated_outside) == (0, 1)


def test_an_active_row_in_the_walk_of_the_deactivated_is_passed_over() -> None:
    """Where the flag is not honoured, these are the active ones once more."""
    comparison = a_comparison(a_row(), a_row("fig"))

    assert comparison.see_deactivated(a_block(a_user(), a_user(uid="fig", deactivated_at=OFF))) == 1
    assert comparison.unseen() == ["kiwi"]


def test_deactivated_rows_that_pages_show_twice_count_once() -> None:
    """In whatever state they are shown the second time; what is news is told each time."""
    comparison = a_comparison(a_row(), a_row("fig"))
    uids = ("kiwi", "owl", "wren")
    twice = [a_user(uid=uid, name=name, deactivated_at=OFF) for name in ("Kiwi", "Lime") for uid in uids]
    more = [*twice, a_user(uid="fig", deactivated_at=OFF), a_user(uid="tui", deactivated_at=OFF)]
    told = [comparison.see_deactivated(a_block(*users)) for users in (twice, twice, more)]
    found = comparison.close(whole=True)

    assert told == [3, 0, 2]
    counts = found.counts
    assert (counts.seen, counts.seen_deactivated, counts.deactivated_outside, counts.matched) == (5, 5, 3, 2)
    assert [user.actual for user in found.deactivated()] == [{"name": "Kiwi", "role": "default"}] * 2


def test_rows_that_a_page_shows_twice_count_once() -> None:
    """Within a block and across blocks; what is news is told each time."""
    comparison = a_comparison(a_row())
    twice = a_block(a_user(), a_user(uid="wren"), a_user(), a_user(uid="WREN"))

    assert [comparison.see(twice), comparison.see(twice)] == [2, 0]
    assert comparison.close(whole=True).counts.seen == 2


def test_a_block_is_as_many_pages_as_it_likes() -> None:
    """Several, or none: every row of each is seen, and told as news where it is."""
    comparison = a_comparison(a_row(), a_row("fig"), a_row("owl"))
    pages = [a_block(a_user(uid="wren")), a_block(a_user(), a_user(uid="tui")), a_block()]
    off = [a_block(*[a_user(uid=uid, deactivated_at=OFF) for uid in page]) for page in (["fig"], ["owl", "emu"])]
    told = [comparison.see(pa.concat_tables(pages)), comparison.see_deactivated(pa.concat_tables(off))]
    told += [comparison.see(a_block(a_user(uid="ani", deactivated_at=OFF))), comparison.see_deactivated(a_block())]
    found = comparison.close(whole=True)

    assert told == [3, 3, 1, 0]
    assert situations(found) == {"in_step": 1, "deactivated": 2}
    assert (found.counts.unmanaged, found.counts.deactivated_outside) == (2, 2)


@pytest.mark.parametrize(
    ("uids", "is_news"),
    [
        ([], False),
        (["FIG"], True),
        (["kiwi"], False),
        (["kiwi", "owl", "wren"], False),
        (["kiwi", "tui", "wren"], True),
        (["kiwi", "wren", "fig"], True),
        (["jay"], False),
    ],
)
def test_a_page_is_news_where_it_names_one_whom_no_page_showed(uids: list[str], is_news: bool) -> None:  # noqa: FBT001
    """Inside the source or outside; of any other page nothing is read but the uids."""
    comparison = a_comparison(a_row(), a_row("fig"), a_row("owl"), a_row("jay"))
    assert comparison.is_news(folded(["kiwi"]))
    comparison.see(a_block(a_user(), a_user(uid="owl"), a_user(uid="wren")))
    comparison.see_deactivated(a_block(a_user(uid="jay", deactivated_at=OFF)))

    assert comparison.is_news(folded(uids)) is is_news


def test_the_latest_showing_of_a_user_is_the_one_that_is_planned_from() -> None:
    """A user that was settled, and is seen again, is compared again."""
    comparison = disputed()
    comparison.settle_deactivated("kiwi")
    comparison.see(a_block(a_user(name="Plum")))
    comparison.settle_active("kiwi")
    (difference,) = comparison.close(whole=True).drifted()

    assert difference.actual == {"name": "Plum", "role": "default"}


@pytest.mark.parametrize(
    ("times", "ours", "newer"),
    [
        ({"created_at": 99, "updated_at": None}, {}, 0),
        ({"created_at": 100, "updated_at": None}, {}, 1),
        ({"created_at": 101, "updated_at": None}, {}, 1),
        ({"created_at": 1, "updated_at": 101}, {}, 1),
        ({"created_at": 1, "updated_at": 101}, {"kiwi": 101}, 0),
        ({"created_at": 1, "updated_at": 102}, {"kiwi": 101}, 1),
        ({"created_at": None, "updated_at": None}, {}, 0),
    ],
)
def test_users_that_others_changed_after_the_export_are_newer(
    times: dict[str, int | None], ours: dict[str, int], newer: int
) -> None:
    """A write of our own is not somebody else's change."""
    found = findings([a_row()], [a_user(name="Lime", **times)], as_of=100, ours=ours)

    assert found.counts.newer == newer
    assert [user.newer for user in found.drifted()] == [bool(newer)]


def test_newer_users_outside_the_source_are_marked() -> None:
    """Created or changed since, and not by us: the export is too old to know them, so they are never deactivated."""
    users = [
        a_user(uid="wren", created_at=101),
        a_user(uid="owl", created_at=99),
        a_user(uid="tui", created_at=None),
        a_user(uid="ani", created_at=1, updated_at=101),
        a_user(uid="emu", created_at=1, updated_at=99),
        a_user(uid="fig", created_at=1, updated_at=101),
    ]
    found = findings([], users, as_of=100, ours={"fig": 101})

    assert dict(zip(found.unmanaged_rows["uid"], found.unmanaged_rows["newer"], strict=True)) == {
        "ani": True,
        "emu": False,
        "fig": False,
        "owl": False,
        "tui": False,
        "wren": True,
    }
    assert found.counts.newer_unmanaged == 2


def test_unmanaged_is_not_known_after_a_fetch_by_uid() -> None:
    """Null, and not 0."""
    comparison = feed(a_comparison(a_row(), protect=("wren",)), a_user(), a_user(uid="owl"), a_user(uid="wren"))
    found = comparison.close(whole=False)

    assert found.counts.unmanaged is None
    assert (found.counts.shielded, list(found.unmanaged_rows["uid"])) == (0, [])


def test_fields_that_are_not_compared_never_differ() -> None:
    """No row showed them, so their absence proves nothing."""
    mapping = a_mapping("name", "tags")
    blind = Comparison(a_desired(a_row(tags="fig"), mapping=mapping), uncompared=["tags"])

    assert situations(feed(blind, a_user()).close(whole=True)) == {"in_step": 1}


def test_a_fingerprint_leaves_out_what_a_look_does_not_show() -> None:
    """List and GET have to agree on it."""
    comparison = feed(a_comparison(a_row(tags="fig"), mapping=a_mapping("name", "tags")), a_user(tags=["plum"]))
    (whole,) = comparison.close(whole=True).drifted()
    found = comparison.close(whole=True, hidden=frozenset({"tags"}))
    (partial,) = found.drifted()
    seen = {"name": "Kiwi", "tags": '["plum"]'}

    assert found.visible == ("name",)
    assert whole.fingerprint == fingerprint(seen, ("name", "tags"))
    assert partial.fingerprint == fingerprint(seen, ("name",))


def test_an_empty_source_against_an_empty_directory_finds_nothing() -> None:
    """All frames are there, and empty."""
    found = findings([], [])

    assert set(found.counts.situations) == set(Situation)
    assert [len(rows) for rows in (found.missing_rows, found.drifted_rows, found.unmanaged_rows)] == [0, 0, 0]
    assert (found.counts.seen, found.counts.matched, found.counts.unmanaged) == (0, 0, 0)


def test_tracking_says_whose_rows_the_source_has() -> None:
    """Whoever is not tracked is nobody's to settle."""
    comparison = a_comparison(a_row())

    assert comparison.is_tracked("kiwi")
    assert not comparison.is_tracked("wren")
    assert comparison.close(whole=True).counts.seen == 0


def test_likely_witnesses_are_desired_users_that_should_have_some_of_a_group() -> None:
    """A few of them are enough to find out whether an answer shows it."""
    rows = [a_row(f"bird-{n}", tags="a") for n in range(20)]
    comparison = a_comparison(a_row(tags=""), *rows, mapping=a_mapping("name", "tags", "metadata.a"))

    assert comparison.likely("tags", {"kiwi", "bird-3", "wren"}) == ["bird-3"]
    assert len(comparison.likely("tags", [f"bird-{n}" for n in range(20)])) == 10
    assert comparison.likely("metadata", {"bird-3"}) == []


def test_likely_witnesses_may_have_any_field_of_the_group() -> None:
    """Metadata is many fields, some of them inside of others, and one is enough."""
    mapping = a_mapping("name", "metadata.a", "metadata.b.c", "metadata.d")
    rows = [
        a_row("ani", metadata__a="x"),
        a_row("fig", metadata__b__c="x"),
        a_row("owl", metadata__d="x"),
        a_row(),
    ]

    assert a_comparison(*rows, mapping=mapping).likely("metadata", {"owl", "ani", "fig", "kiwi"}) == [
        "ani",
        "fig",
        "owl",
    ]
