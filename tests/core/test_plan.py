"""Promises about the plan: which changes there are, in which order, and how they are written down."""

from collections import Counter
from itertools import product

import msgspec
import pytest

from reconcile.core.changes import class_counts, without_stuck
from reconcile.core.guards import GuardClass
from reconcile.core.plan import (
    Action,
    Change,
    PlanPolicy,
    classify,
    decode_change,
    decoded,
    encode_change,
    encoded,
    head_of,
    plain,
)
from reconcile.core.users import fingerprint
from tests.builders import a_change, a_mapping, a_record, a_row, a_user, by_us, findings, the_changes

OFF = 1_700_000_500
EVERYTHING = PlanPolicy(update_newer=True, deactivate_unmanaged=True, reactivate=True)
MAPPING = a_mapping("name", "avatar", "role", "tags")


def told(changes: list[Change]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """The changes in short."""
    return [(c.uid, c.action.value, c.guard_class.value, c.fields) for c in changes]


def a_bit_of_everything() -> list[Change]:
    """One user of each kind, with everything allowed."""
    rows = [a_row("tui"), a_row("kiwi", role="vip"), a_row("owl", name="Owl"), a_row("fig", role="default")]
    users = [
        a_user(avatar="https://example.org", name="Lime"),
        a_user(uid="fig"),
        a_user(uid="owl", deactivated_at=OFF),
        a_user(uid="wren"),
    ]
    return the_changes(findings(rows, users, mapping=MAPPING), EVERYTHING, ours=["owl"])


def test_a_user_is_split_by_what_a_guard_may_hold() -> None:
    """Values set, the role, values lost: one user, three changes, each with its own fields."""
    changes = a_bit_of_everything()

    assert told(changes) == [
        ("tui", "create", "create", ("name",)),
        ("kiwi", "update", "update", ("name",)),
        ("kiwi", "update", "role_change", ("role",)),
        ("kiwi", "update", "clear", ("avatar",)),
        ("owl", "reactivate", "reactivate", ()),
        ("owl", "update", "update", ("name",)),
        ("wren", "deactivate", "deactivate", ()),
    ]
    assert [change.seq for change in changes] == list(range(1, 8))


def test_a_change_shows_before_and_after_and_why() -> None:
    """Only its own fields are before-images; the whole desired user goes along."""
    changes = {change.guard_class.value: change for change in a_bit_of_everything() if change.uid == "kiwi"}

    assert changes["clear"].before == {"avatar": "https://example.org"}
    assert changes["clear"].after == {"avatar": None}
    assert changes["role_change"].reasons == ("role_mismatched",)
    assert changes["update"].reasons == ("stale",)
    assert changes["update"].desired == {"name": "Kiwi", "avatar": None, "role": "vip", "tags": None}
    assert changes["update"].source_row == 3
    seen = a_record(MAPPING.fields, name="Lime", avatar="https://example.org").values
    assert {change.fingerprint for change in changes.values()} == {fingerprint(seen, MAPPING.fields)}


def test_a_create_and_a_deactivation_have_no_reason_and_no_before() -> None:
    """There is nothing that they differ from."""
    create, *_, deactivate = a_bit_of_everything()

    assert (create.reasons, create.before, create.fingerprint) == ((), {}, None)
    assert deactivate == Change(7, "wren", Action.DEACTIVATE, GuardClass.DEACTIVATE)


@pytest.mark.parametrize("fields", [("name", "avatar"), ("name", "avatar", "role")])
@pytest.mark.parametrize(("newer", "off", "on"), list(product([True, False], repeat=3)))
def test_the_guards_count_what_will_be_made(fields: tuple[str, ...], newer: bool, off: bool, on: bool) -> None:  # noqa: FBT001
    """Before the first change exists, and under every policy."""
    rows = [a_row(uid, name="New", role="vip", avatar="") for uid in ("ani", "fig", "jay", "kiwi", "owl", "tui")]
    held = {"avatar": "https://example.org", "created_at": 1}
    users = [
        a_user(uid="ani", deactivated_at=OFF, **held),
        a_user(uid="fig", updated_at=200, **held),
        a_user(uid="jay", **held),
        a_user(uid="kiwi", **held),
        a_user(uid="owl", deactivated_at=OFF, **held),
        a_user(uid="wren", **held),
        a_user(uid="heron", **held),
        a_user(uid="emu", updated_at=200, **held),
    ]
    policy = PlanPolicy(update_newer=newer, deactivate_unmanaged=off, reactivate=on)
    found = findings(rows, users, mapping=a_mapping(*fields), as_of=100)
    made = Counter(change.guard_class for change in the_changes(found, policy, ours=["owl"]))

    assert +Counter(class_counts(found, policy, by_us("owl"))) == made
    assert made == +Counter(
        {
            GuardClass.CREATE: 1,
            GuardClass.UPDATE: 2 + newer + on,
            GuardClass.ROLE_CHANGE: (2 + newer + on) * ("role" in fields),
            GuardClass.CLEAR: 2 + newer + on,
            GuardClass.REACTIVATE: int(on),
            GuardClass.DEACTIVATE: 2 * off,
        }
    )


@pytest.mark.parametrize("role", ["", None])
def test_an_empty_role_is_never_a_demotion(role: str | None) -> None:
    """Neither as a change of its own nor within another."""
    found = findings([a_row(name="New", role=role)], [a_user(role="vip")])

    assert told(the_changes(found, EVERYTHING)) == [("kiwi", "update", "update", ("name",))]
    assert class_counts(found, EVERYTHING, {})[GuardClass.ROLE_CHANGE] == 0


def test_a_create_writes_what_is_filled_and_nothing_else() -> None:
    """A new user has nothing that one could clear."""
    (change,) = the_changes(findings([a_row(role="vip")], [], mapping=MAPPING))

    assert change.fields == ("name", "role")
    assert change.desired["avatar"] is None


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        (PlanPolicy(), []),
        (PlanPolicy(deactivate_unmanaged=True), ["deactivate"]),
        (PlanPolicy(reactivate=True), ["reactivate"]),
    ],
)
def test_nobody_is_switched_on_or_off_unless_the_policy_says_so(policy: PlanPolicy, actions: list[str]) -> None:
    """By default both are reported."""
    found = findings([a_row()], [a_user(deactivated_at=OFF), a_user(uid="wren")])

    assert [change.action for change in the_changes(found, policy, ours=["kiwi"])] == actions


def test_only_those_that_we_deactivated_are_brought_back() -> None:
    """Whoever else did it had a reason."""
    rows = [a_row("kiwi"), a_row("fig")]
    users = [a_user(deactivated_at=OFF), a_user(uid="fig", deactivated_at=OFF)]

    changes = the_changes(findings(rows, users), EVERYTHING, ours=["fig"])

    assert [(change.uid, change.action) for change in changes] == [("fig", Action.REACTIVATE)]


def test_a_person_may_ask_for_those_that_others_deactivated() -> None:
    """They come as a class of their own, with what differs in them behind."""
    rows = [a_row("kiwi", name="New"), a_row("fig")]
    users = [a_user(deactivated_at=OFF), a_user(uid="fig", deactivated_at=OFF)]
    policy = PlanPolicy(reactivate=True, reactivate_foreign=True)

    assert told(the_changes(findings(rows, users), policy, ours=["fig"])) == [
        ("fig", "reactivate", "reactivate", ()),
        ("kiwi", "reactivate", "reactivate_foreign", ()),
        ("kiwi", "update", "update", ("name",)),
    ]


@pytest.mark.parametrize(("foreign", "brought_back", "updated"), [(False, 0, 1), (True, 2, 3)])
def test_the_guards_count_those_that_others_deactivated_apart(
    foreign: bool,  # noqa: FBT001
    brought_back: int,
    updated: int,
) -> None:
    """With what differs in them, and only where a person asked for them."""
    rows = [a_row(uid, name="New") for uid in ("ani", "fig", "kiwi")]
    users = [a_user(uid=uid, deactivated_at=OFF) for uid in ("ani", "fig", "kiwi")]
    policy = PlanPolicy(reactivate=True, reactivate_foreign=foreign)
    found = findings(rows, users)
    counted = +Counter(class_counts(found, policy, by_us("fig")))

    assert counted == Counter(change.guard_class for change in the_changes(found, policy, ours=["fig"]))
    kinds = (GuardClass.REACTIVATE, GuardClass.REACTIVATE_FOREIGN, GuardClass.UPDATE)
    assert [counted[kind] for kind in kinds] == [1, brought_back, updated]


@pytest.mark.parametrize(("update_newer", "uids"), [(True, ["fig", "kiwi"]), (False, ["fig"])])
def test_newer_users_are_updated_or_left_and_never_deactivated(update_newer: bool, uids: list[str]) -> None:  # noqa: FBT001
    """The directory may know better than the export."""
    rows = [a_row("kiwi", name="New"), a_row("fig", name="New")]
    users = [a_user(created_at=200), a_user(uid="fig", created_at=1), a_user(uid="wren", created_at=200)]
    policy = PlanPolicy(update_newer=update_newer, deactivate_unmanaged=True)

    found = findings(rows, users, as_of=100)

    assert [change.uid for change in the_changes(found, policy)] == uids
    assert class_counts(found, policy, {})[GuardClass.DEACTIVATE] == 0


@pytest.mark.parametrize(
    ("stuck", "left"),
    [
        ([], ["name", "avatar"]),
        ([("kiwi", "avatar", "")], ["name"]),
        ([("kiwi", "name", "Kiwi"), ("kiwi", "avatar", "")], []),
        ([("kiwi", "name", "Plum"), ("fig", "avatar", ""), ("kiwi", "role", "")], ["name", "avatar"]),
    ],
)
def test_what_never_stuck_is_not_planned_again(stuck: list[tuple[str, str, str]], left: list[str]) -> None:
    """The same value of the same user, and no other; the user stays drifted."""
    found = findings([a_row()], [a_user(name="Lime", avatar="https://x")], mapping=MAPPING)

    reduced, left_out = without_stuck(found, stuck)

    assert [field for change in the_changes(reduced) for field in change.fields] == left
    assert (len(left_out), reduced.counts.situations, len(reduced.drifted_rows)) == (
        2 - len(left),
        found.counts.situations,
        1,
    )
    assert sum(class_counts(reduced, PlanPolicy(), {}).values()) == len(left)


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("name", "Kiwi", "update"),
        ("avatar", None, "clear"),
        ("metadata.a", None, "clear"),
        ("role", "vip", "role_change"),
        ("role", None, "role_change"),
    ],
)
def test_a_field_belongs_to_one_class(field: str, value: str | None, kind: str) -> None:
    """By what a person would fear about it."""
    assert classify(field, value) is GuardClass(kind)


def test_a_line_of_the_plan_is_plain_json_for_people() -> None:
    """Tags are a list there and metadata has its own types."""
    change = a_change(
        fields=("tags", "metadata.n"),
        before={"tags": None, "metadata.n": "1"},
        desired={"tags": '["a","b"]', "metadata.n": '{"x":1.5}'},
    )

    line = msgspec.json.decode(encode_change(change))

    assert line["class"] == "update"
    assert line["desired"] == {"tags": ["a", "b"], "metadata.n": {"x": 1.5}}
    assert line["before"] == {"tags": None, "metadata.n": 1}


@pytest.mark.parametrize(
    "change", [*a_bit_of_everything(), a_change(desired={"name": '"quoted"\n\N{OWL}', "tags": '["\\""]'})]
)
def test_a_line_read_back_is_the_same_change(change: Change) -> None:
    """Nothing is lost on the way through a file."""
    line = encode_change(change)

    assert decode_change(line) == change
    assert encode_change(decode_change(line)) == line
    assert (head_of(line).uid, head_of(line).action) == (change.uid, change.action)
    assert b"\n" not in line


def test_values_are_shown_as_json_and_read_back_as_they_were() -> None:
    """Text as text, tags and metadata as what they hold, and a missing value as null."""
    values = {"name": "5", "avatar": None, "tags": '["a"]', "metadata.a": '"b"', "metadata.n": "5"}
    shown = {"name": "5", "avatar": None, "tags": ["a"], "metadata.a": "b", "metadata.n": 5}

    assert plain(values) == shown
    assert msgspec.json.decode(encoded(values)) == shown
    assert decoded(encoded(values).decode()) == values


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"seq": 1', b'{"seq": 1, "uid": "kiwi", "action": "delete", "class": "update"}']
)
def test_what_is_no_change_is_refused(line: bytes) -> None:
    """A plan that somebody edited by hand does not half work, and there is no delete."""
    with pytest.raises(msgspec.DecodeError):
        decode_change(line)
