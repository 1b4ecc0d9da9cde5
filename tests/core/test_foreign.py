"""Promises about what others keep in a user: what was not seen is unknown, and is neither written nor taken for empty."""

from typing import Any

import msgspec
import pytest

from reconcile.core.bodies import replaced_whole
from reconcile.core.guards import GuardClass
from reconcile.core.metadata import Private, lost, managed_metadata, odd_metadata
from reconcile.core.outcome import Outcome, PastChange, Settled, unstuck
from reconcile.core.undo import lost_metadata, undo_changes
from reconcile.core.upsert import Decision, Update, decide
from reconcile.core.users import Record, as_record, with_fields
from tests.builders import a_change, a_record, a_user, the_terms

FIELDS = ("name", "tags", "metadata.a")


def raw(value: Any) -> msgspec.Raw:
    """A value as it comes."""
    return msgspec.Raw(msgspec.json.encode(value))


def told(decision: Decision) -> tuple[tuple[str, ...], str]:
    """The fields that are written, and how it ends where none is."""
    if isinstance(decision, Update):
        return decision.fields, ", ".join(decision.spared)
    return (), decision.outcome.value if isinstance(decision, Settled) else "create"


@pytest.mark.parametrize(
    ("look", "but", "written", "left"),
    [
        (as_record(a_user(), FIELDS), {}, ("name",), "metadata.a"),
        (as_record(a_user(metadata={"b": 1}), FIELDS), {}, ("name", "metadata.a"), ""),
        (a_record(FIELDS), {}, ("name", "metadata.a"), ""),
        (as_record(a_user(), FIELDS), {"guesses": frozenset({"metadata"})}, ("name", "metadata.a"), ""),
        (a_record(FIELDS, metadata=["x"]), {}, ("name",), "metadata.a"),
        (a_record(FIELDS, metadata=["x"]), {"overwrites": True}, ("name", "metadata.a"), ""),
        (a_record(FIELDS, metadata={"b": 1}), {"private": Private.HIDDEN}, ("name",), "metadata.a"),
        (a_record(FIELDS), {"private": Private.HIDDEN, "overwrites": True}, ("name", "metadata.a"), ""),
        (a_record(FIELDS, metadata={"a": 1}), {"private": Private.HIDDEN}, ("name",), ""),
        (a_record(FIELDS, metadata={"b": 1}), {"private": Private.UNKNOWN}, ("name", "metadata.a"), ""),
    ],
)
def test_only_what_was_seen_is_written(
    look: Record, but: dict[str, Any], written: tuple[str, ...], left: str
) -> None:
    """The other fields of the change go, and what is left has its reason."""
    change = a_change(fields=("name", "metadata.a"), desired={"name": "Lime", "metadata.a": "1"})

    assert told(decide(change, look, the_terms(compared=FIELDS, **but))) == (written, left)


def test_a_clear_of_what_was_not_seen_is_not_called_done() -> None:
    """Absent and hidden look alike."""
    change = a_change(fields=("metadata.a",), desired={"metadata.a": None}, guard_class=GuardClass.CLEAR)

    assert told(decide(change, as_record(a_user(), FIELDS), the_terms(compared=FIELDS))) == ((), "skipped")
    assert told(decide(change, a_record(FIELDS), the_terms(compared=FIELDS))) == ((), "already")


@pytest.mark.parametrize(
    ("held", "private", "written", "end"),
    [
        ({"a": 1}, Private.SHOWN, ("metadata.a",), ""),
        ({"a": 1}, Private.UNKNOWN, (), "rejected"),
        ({"a": 1, "b": 2}, Private.UNKNOWN, ("metadata.a",), ""),
    ],
)
def test_the_last_keys_are_not_cleared_while_some_may_be_hidden(
    held: dict[str, int], private: Private, written: tuple[str, ...], end: str
) -> None:
    """To unset it all would take what nobody sees."""
    change = a_change(fields=("metadata.a",), desired={"metadata.a": None}, guard_class=GuardClass.CLEAR)
    terms = the_terms(compared=FIELDS, private=private, planned=frozenset({GuardClass.CLEAR}))
    decision = decide(change, a_record(FIELDS, metadata=held), terms)

    assert told(decision) == (written, end)
    if isinstance(decision, Settled):
        assert unstuck(decision.detail) == ["metadata.a"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, "object") for text in ("{}", "[ ]", "null", '""', r'"{\"a\":1}"', '"[]"', '{"a":1}')),
        *((text, "odd") for text in ('["a"]', '"text"', '"[1]"', "0", "false", "1.5", '{"a":' * 5000)),
    ],
)
def test_metadata_with_content_that_is_not_an_object_is_told_apart(text: str, kind: str) -> None:
    """What may stand for nothing, and JSON inside a string, keep their meaning."""
    assert ("object" if odd_metadata(msgspec.Raw(text.encode())) is None else "odd") == kind


def test_what_a_write_replaces_is_kept_whole_as_it_was_seen() -> None:
    """Also where it is not an object; nothing where a body does not touch it, or nothing was there."""
    put = ({"metadata": {"a": 1}},)

    assert replaced_whole(put, a_record(metadata={"b": 2})) == raw({"b": 2})
    assert replaced_whole(({"unset": ["metadata"]},), a_record(metadata={"b": 2})) == raw({"b": 2})
    assert replaced_whole(put, a_record(metadata=["x"])) == raw(["x"])
    assert replaced_whole(({"name": "x"},), a_record(metadata={"b": 2})) is None
    assert replaced_whole(put, a_record()) is None


@pytest.mark.parametrize(
    ("whole", "now", "found"),
    [
        ({"a": 1, "b": 2}, {}, {("b",): "2"}),
        ({"b": 2}, {"b": 3}, {}),
        ({"b": None}, {}, {}),
        ({"in": {"a": 1, "z": 2}}, {}, {("in", "z"): "2"}),
        ({"in": {"a": 1, "z": 2}}, {"in": {"y": 1}}, {("in", "z"): "2"}),
        ({"in": {"a": 1, "z": 2}}, {"in": "text"}, {}),
        ({"in": {"a": 1}}, {}, {}),
    ],
)
def test_what_is_lost_beside_the_managed_keys(
    whole: dict[str, Any], now: dict[str, Any], found: dict[tuple[str, ...], str]
) -> None:
    """A key that is there counts as there, whatever it holds now."""
    before, after = ({key: raw(value) for key, value in held.items()} for held in (whole, now))

    assert dict(lost(before, after, managed_metadata(["metadata.a", "metadata.in.a"]))) == found


def test_undo_puts_back_what_is_lost_and_lists_what_was_not_seen() -> None:
    """A lost key is a field like others; a field that no look shows is left."""
    run = PastChange("run", 1, "kiwi", "update", "applied", "", {"metadata.a": 1}, {"metadata.a": 2})
    look = a_record(FIELDS, metadata={"a": 2})
    lacking = lost_metadata({"kiwi": {"a": raw(1), "b": raw("x")}}, {"kiwi": look}, FIELDS)
    fields = (*FIELDS, "metadata.b")
    found = undo_changes([run], {"kiwi": with_fields(look, fields)}, fields, lacking)
    unseen = undo_changes([run], {"kiwi": as_record(a_user(), FIELDS)}, FIELDS)

    assert [change.after for change in found.changes] == [{"metadata.a": "1", "metadata.b": '"x"'}]
    assert (unseen.changes, unseen.left) == ((), (("kiwi", "metadata.a: CometChat does not show it"),))


def test_undo_lists_what_nobody_saw_before_the_run() -> None:
    """A value that was not seen is not put back as an empty one."""
    run = PastChange("run", 1, "kiwi", "update", "applied", "", {}, {"tags": ["a"]})
    found = undo_changes([run], {"kiwi": a_record(FIELDS, tags=["a"])}, FIELDS)

    assert (found.changes, found.left) == ((), (("kiwi", "tags: what it held before was not seen"),))


def test_a_change_that_left_a_field_does_not_end_applied() -> None:
    """Also where nothing else was left to write: the user still differs."""
    change = a_change(fields=("name", "metadata.a"), desired={"name": "Kiwi", "metadata.a": "1"})
    settled = decide(change, as_record(a_user(), FIELDS), the_terms(compared=FIELDS))

    assert isinstance(settled, Settled)
    assert settled.outcome is Outcome.SKIPPED
    assert settled.detail.startswith("left alone: metadata.a, because CometChat did not show")
