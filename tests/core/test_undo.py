"""Promises about the way back: what a run wrote is taken away, and nothing that somebody else wrote since."""

from typing import Any

import msgspec
import pytest

from reconcile.core.ours import Left
from reconcile.core.outcome import PastChange
from reconcile.core.plan import Change
from reconcile.core.undo import Undoing, undo_changes, undone_fields
from reconcile.core.users import Record
from tests.builders import a_record

MADE, OFF = 1_700_000_000, 1_700_000_500
FIELDS = ("name", "avatar", "role", "tags", "metadata.a")


def past(action: str, seq: int = 1, uid: str = "kiwi", outcome: str = "applied", **states: Any) -> PastChange:
    """One change of the run; the record is of `MADE`, and deactivated since `OFF` where the run did that."""
    known: dict[str, Any] = {"before": {}, "after": {}, "left": Left(MADE, OFF), "intended_at": OFF}
    return PastChange("run", seq, uid, action, outcome, "", **(known | states))


def undo(*written: PastChange, **looks: Record | None) -> Undoing:
    """The way back from these changes, given the users as they are now."""
    return undo_changes(written, looks, FIELDS)


def told(changes: tuple[Change, ...]) -> list[tuple[Any, ...]]:
    """The changes in short: action, class, and what is written."""
    return [(str(change.action), str(change.guard_class), change.after) for change in changes]


def test_a_field_that_still_holds_what_was_written_is_put_back() -> None:
    """Split by class, as every update is."""
    run = past("update", before={"name": "Old", "tags": None}, after={"name": "New", "tags": ["a"]})
    found = undo(run, kiwi=a_record(FIELDS, name="New", tags=["a"]))

    assert told(found.changes) == [
        ("update", "update", {"name": "Old"}),
        ("update", "clear", {"tags": None}),
    ]
    assert [change.before for change in found.changes] == [{"name": "New"}, {"tags": '["a"]'}]
    assert found.left == ()
    assert {change.fingerprint is not None for change in found.changes} == {True}


def test_what_somebody_else_wrote_since_is_left_and_listed() -> None:
    """Only the fields that are still ours go back."""
    run = past("update", before={"name": "Old", "role": "default"}, after={"name": "New", "role": "premium"})
    found = undo(run, kiwi=a_record(FIELDS, name="Newer", role="premium"))

    assert told(found.changes) == [("update", "role_change", {"role": "default"})]
    assert found.left == (("kiwi", "name"),)


def test_what_is_back_already_needs_nothing() -> None:
    """Neither written again nor listed."""
    run = past("update", before={"name": "Old"}, after={"name": "New"})

    assert undo(run, kiwi=a_record(FIELDS, name="Old")) == Undoing((), ())


def test_a_user_that_the_run_created_ends_deactivated() -> None:
    """Whatever was changed about it since; there is no deletion."""
    run = past("create", after={"name": "New"})

    assert told(undo(run, kiwi=a_record(FIELDS, name="Other")).changes) == [("deactivate", "deactivate", {})]
    assert undo(run, kiwi=None) == Undoing((), ())


def test_a_create_that_met_a_user_is_undone_as_the_update_that_it_was() -> None:
    """Who was there before us is not switched off."""
    run = past("create", before={"name": "Old"}, after={"name": "New"})

    assert told(undo(run, kiwi=a_record(FIELDS, name="New")).changes) == [("update", "update", {"name": "Old"})]


def test_a_user_whose_creation_was_refused_is_not_switched_off() -> None:
    """Who is there now was made by another; what was taken without all of its values was made by us."""
    refused = past("create", outcome="rejected", after={"name": "New"})
    taken = msgspec.structs.replace(refused, detail="did_not_stick: name")

    assert undo(refused, kiwi=a_record(FIELDS, name="By hand")) == Undoing((), ())
    assert told(undo(taken, kiwi=a_record(FIELDS)).changes) == [("deactivate", "deactivate", {})]


def test_switching_is_undone_by_switching() -> None:
    """A reactivated user gets its fields back first, and is then switched off again."""
    woken = [past("reactivate"), past("update", 2, before={"name": "Old"}, after={"name": "New"})]

    off = a_record(deactivated_at=OFF)

    assert told(undo(past("deactivate"), kiwi=off).changes) == [("reactivate", "reactivate", {})]
    assert undo(past("deactivate"), kiwi=a_record()) == Undoing((), ())
    assert told(undo(*woken, kiwi=a_record(FIELDS, name="New")).changes) == [
        ("update", "update", {"name": "Old"}),
        ("deactivate", "deactivate", {}),
    ]


def test_a_switch_that_was_refused_is_none() -> None:
    """A reactivation that CometChat refused left the user as it was."""
    assert undo(past("reactivate", outcome="rejected"), kiwi=a_record()).changes == ()


@pytest.mark.parametrize("outcome", ["failed", "skipped", "rejected"])
def test_what_was_sent_and_may_have_landed_is_put_back_where_it_did(outcome: str) -> None:
    """Field by field, as everything is: what the directory holds says whether it landed."""
    run = past("update", outcome=outcome, before={"name": "Old", "role": "a"}, after={"name": "New", "role": "b"})

    assert told(undo(run, kiwi=a_record(FIELDS, name="New", role="a")).changes) == [
        ("update", "update", {"name": "Old"})
    ]
    assert undo(run, kiwi=a_record(FIELDS, name="Old", role="a")) == Undoing((), ())


@pytest.mark.parametrize(
    ("action", "look"),
    [("create", a_record(FIELDS)), ("reactivate", a_record(FIELDS)), ("deactivate", None)],
)
def test_what_the_run_may_have_done_to_a_whole_user_is_listed(action: str, look: Record | None) -> None:
    """Another may have made, woken or banned the user; where nothing is done, nothing is said."""
    run = past(action, outcome="failed", after={"name": "New"} if action == "create" else {})
    other = None if look else a_record(FIELDS)

    assert undo(run, kiwi=look) == Undoing((), (("kiwi", f"nobody knows whether the run did the {action}"),))
    assert undo(run, kiwi=other) == Undoing((), ())


@pytest.mark.parametrize(("field", "after"), [("statusMessage", "hello"), ("role", "premium")])
def test_what_no_call_can_clear_is_listed(field: str, after: str) -> None:
    """It would be rejected every time."""
    key = "status_message" if field == "statusMessage" else field
    found = undo(
        past("update", before={field: None}, after={field: after}), kiwi=a_record((field,), **{key: after})
    )

    assert found == Undoing((), (("kiwi", field),))


def test_a_user_that_is_gone_is_listed() -> None:
    """Nothing can be put back."""
    run = past("update", before={"name": "Old"}, after={"name": "New"})

    assert undo(run, kiwi=None) == Undoing((), (("kiwi", "the user is no longer active"),))


def test_changes_are_numbered_in_plan_order() -> None:
    """Updates, reactivations, deactivations, each by uid."""
    found = undo(
        past("create", uid="a"),
        past("deactivate", uid="b"),
        past("update", uid="d", before={"name": "1"}, after={"name": "2"}),
        past("update", uid="c", before={"name": "1"}, after={"name": "2"}),
        a=a_record(uid="a"),
        b=a_record(uid="b", deactivated_at=OFF),
        c=a_record(uid="c", name="2"),
        d=a_record(uid="d", name="2"),
    )

    assert [(change.seq, change.uid) for change in found.changes] == [(1, "c"), (2, "d"), (3, "b"), (4, "a")]


def test_every_field_that_was_written_is_looked_at() -> None:
    """In the order in which fields are shown."""
    written = [past("update", after={"metadata.b": 1, "name": "x"}), past("update", after={"role": "y"})]

    assert undone_fields(written) == ("name", "role", "metadata.b")


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (Left(MADE, OFF + 1), "deactivated by another since"),
        (Left(MADE + 1, OFF), "deactivated by another since"),
        (Left(between=(OFF - 9, OFF - 1)), "deactivated by another since"),
        (Left(MADE), "nobody knows who deactivated the user"),
        (None, "nobody knows who deactivated the user"),
    ],
)
def test_a_deactivation_that_is_not_the_one_of_the_run_is_left(left: Left | None, why: str) -> None:
    """Another date, another record, or nothing to compare with."""
    found = undo(past("deactivate", left=left), kiwi=a_record(deactivated_at=OFF))

    assert found == Undoing((), (("kiwi", why),))


def test_a_deactivated_user_that_nobody_finds_is_listed() -> None:
    """It may be deleted for good, or hidden by the service."""
    assert undo(past("deactivate"), kiwi=None).left == (
        ("kiwi", "the user is neither active nor listed as deactivated"),
    )


@pytest.mark.parametrize("action", ["create", "reactivate"])
@pytest.mark.parametrize(
    ("but", "why"),
    [
        ({"left": Left(MADE - 1)}, "another user, made anew since"),
        ({"left": Left()}, "nobody knows whether this is the user that the run left"),
        ({"left": None, "intended_at": None}, "nobody knows whether this is the user that the run left"),
    ],
)
def test_a_user_that_is_not_the_one_of_the_run_is_not_switched_off(
    action: str, but: dict[str, Any], why: str
) -> None:
    """Somebody else has made it under the same uid, or nobody can tell."""
    assert undo(past(action, **but), kiwi=a_record()) == Undoing((), (("kiwi", why),))


@pytest.mark.parametrize(("latest", "is_same"), [(MADE, True), (MADE - 1, False)])
def test_of_an_older_version_a_record_is_no_younger_than_the_write(latest: int, *, is_same: bool) -> None:
    """Its journal has no date of the record: a younger one is another's."""
    made = past("create", left=Left(), intended_at=None, updated_at=latest)
    woken = past("reactivate", left=Left(between=(0, latest)), intended_at=None)

    assert [bool(undo(change, kiwi=a_record()).changes) for change in (made, woken)] == [is_same, is_same]


@pytest.mark.parametrize(("moved_at", "is_same"), [(MADE, True), (None, True), (MADE - 1, False)])
def test_a_value_is_not_put_back_into_a_younger_record(moved_at: int | None, *, is_same: bool) -> None:
    """The new user may well hold the very value that the run wrote to the old one."""
    run = past("update", before={"name": "Old"}, after={"name": "New"}, updated_at=moved_at)
    found = undo(run, kiwi=a_record(FIELDS, name="New"))

    assert bool(found.changes) is is_same
    assert found.left == (() if is_same else (("kiwi", "another user, made anew since"),))


def test_the_way_back_says_which_record_it_is_about() -> None:
    """It is compared once more right before the write."""
    (back,) = undo(past("deactivate"), kiwi=a_record(deactivated_at=OFF)).changes
    (off,) = undo(past("create"), kiwi=a_record()).changes
    (put,) = undo(past("update", before={"name": "Old"}, after={"name": "New"}), kiwi=a_record(name="New")).changes

    assert (back.created_at, back.deactivated_at) == (MADE, OFF)
    assert (off.created_at, put.created_at) == (MADE, MADE)
