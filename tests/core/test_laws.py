"""The laws of the core, tried on states that nobody thought of."""

from collections import Counter
from random import Random

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.changes import class_counts
from reconcile.core.findings import Findings
from reconcile.core.frame import desire
from reconcile.core.guards import GuardClass
from reconcile.core.mapping import ColumnKind
from reconcile.core.plan import Change, PlanPolicy, decode_change, encode_change
from reconcile.core.users import DirectoryUser, as_json
from tests.builders import (
    a_block,
    a_comparison,
    a_mapping,
    a_raw_frame,
    a_typed,
    a_user,
    by_us,
    feed,
    the_changes,
)

MAPPING = a_mapping(
    "name", "avatar", "role", "tags", "statusMessage", "metadata.a", a_typed("n", ColumnKind.NUMBER)
)
EVERYTHING = PlanPolicy(update_newer=False, deactivate_unmanaged=True, reactivate=True)
AS_OF = 100
PROTECT = ("app_system", "bot-*")

uids = st.sampled_from(
    ["kiwi", "KIWI", "fig", " fig", "plum", "owl", "wren", "tui", "bot-1", "app_system", "", "0", "a b"]
)
rows = st.fixed_dictionaries(
    {
        "id": uids,
        "name": st.sampled_from(["Kiwi", "Owl", "x" * 101, ""]),
        "avatar": st.sampled_from(["", "https://example.org/a", "no url"]),
        "role": st.sampled_from(["", "default", "VIP"]),
        "tags": st.sampled_from(["", "a|b", "b|a", "c"]),
        "statusMessage": st.sampled_from(["", "out"]),
        "metadata.a": st.sampled_from(["", "x"]),
        "metadata.n": st.sampled_from(["", "1", "1.0", "many"]),
    }
)
users = st.builds(
    lambda **but: a_user(**{name: value for name, value in but.items() if value is not None}),
    uid=st.sampled_from(["kiwi", "fig", "plum", "owl", "wren", "tui", "bot-1", "app_system", "emu"]),
    name=st.sampled_from(["Kiwi", "Owl"]),
    avatar=st.sampled_from([None, "https://example.org/a"]),
    role=st.sampled_from(["default", "vip"]),
    tags=st.sampled_from([None, [], ["a", "b"], ["c"]]),
    status_message=st.sampled_from([None, "out"]),
    metadata=st.sampled_from([None, {}, {"a": "x"}, {"n": 1.0, "foreign": 2}]),
    created_at=st.sampled_from([1, 200]),
    updated_at=st.sampled_from([None, 50, 300]),
    deactivated_at=st.sampled_from([None, None, 400]),
)
sources = st.lists(rows, max_size=12)
directories = st.lists(users, max_size=10, unique_by=lambda user: user.uid)
ours = st.sets(st.sampled_from(["kiwi", "fig", "plum"])).map(frozenset)
law = settings(max_examples=40, deadline=None)


def compare(source: list[dict[str, str]], directory: list[DirectoryUser]) -> Findings:
    """One walk of each kind, believed."""
    comparison = a_comparison(*source, mapping=MAPPING, protect=PROTECT, as_of=AS_OF)
    return feed(comparison, *directory).close(whole=True)


def without_place(changes: list[Change]) -> list[Change]:
    """The changes, whatever line of the source they came from."""
    return [msgspec.structs.replace(change, source_row=None) for change in changes]


def as_export(user: DirectoryUser) -> dict[str, str]:
    """The row that an export would have written for this user."""
    known = msgspec.json.decode(user.metadata) if isinstance(user.metadata, msgspec.Raw) else {}
    return {
        "id": user.uid.upper(),
        "name": user.name or "",
        "avatar": user.avatar or "",
        "role": user.role or "",
        "tags": "|".join(user.tags) if isinstance(user.tags, list) else "",
        "statusMessage": user.status_message or "",
        "metadata.a": str(known.get("a", "")),
        "metadata.n": str(known.get("n", "")),
    }


@law
@given(sources)
def test_every_row_is_a_user_or_quarantined_and_never_both(source: list[dict[str, str]]) -> None:
    """Conservation: nothing is lost on the way in, and each is counted once."""
    desired = desire(a_raw_frame(source, MAPPING.columns), MAPPING)
    places = [*desired.users["source_row"].tolist(), *(row.source_row for row in desired.quarantined)]

    assert sorted(places) == list(range(2, len(source) + 2))
    assert desired.rows == len(source)
    assert desired.users["uid"].is_unique
    assert not set(desired.users["uid"]) & desired.shielded_uids


@law
@given(sources, directories, ours)
def test_every_user_is_in_one_situation_and_every_sum_adds_up(
    source: list[dict[str, str]], directory: list[DirectoryUser], ours: frozenset[str]
) -> None:
    """Conservation: of the desired users, of those seen, and of the changes that the guards count."""
    valid = len(desire(a_raw_frame(source, MAPPING.columns), MAPPING).users)
    found = compare(source, directory)
    outside = (found.counts.unmanaged or 0) + found.counts.shielded + found.counts.deactivated_outside

    assert sum(found.counts.situations.values()) == valid
    assert found.counts.seen == len(directory) == found.counts.matched + outside
    foreign = PlanPolicy(reactivate=True, reactivate_foreign=True)
    for policy in (PlanPolicy(), EVERYTHING, foreign):
        listed = Counter(change.guard_class for change in the_changes(found, policy, ours))
        counted = class_counts(found, policy, by_us(*ours))
        assert {kind: listed[kind] for kind in GuardClass} == {kind: counted.get(kind, 0) for kind in GuardClass}


@law
@given(directories)
def test_a_state_compared_with_itself_is_silent(directory: list[DirectoryUser]) -> None:
    """Silence: an export of the directory has nothing to change in it."""
    active = [user for user in directory if not user.deactivated_at]
    found = compare([as_export(user) for user in active], active)

    assert the_changes(found, PlanPolicy(deactivate_unmanaged=True, reactivate=True)) == []
    assert found.counts.unmanaged == 0


@law
@given(sources, directories, ours, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_pages_does_not_matter(
    source: list[dict[str, str]], directory: list[DirectoryUser], ours: frozenset[str], random: Random
) -> None:
    """Order-blindness: the same changes in the same order; only the line of the source may differ."""
    shuffled_source, shuffled_directory = list(source), list(directory)
    random.shuffle(shuffled_source)
    random.shuffle(shuffled_directory)

    straight = the_changes(compare(source, directory), EVERYTHING, ours)
    shuffled = the_changes(compare(shuffled_source, shuffled_directory), EVERYTHING, ours)

    assert without_place(straight) == without_place(shuffled)


@law
@given(sources, directories, st.integers(1, 4))
def test_the_size_of_a_page_does_not_matter(
    source: list[dict[str, str]], directory: list[DirectoryUser], size: int
) -> None:
    """Blocks of any size, also such that overlap, come to the same findings."""
    comparison = a_comparison(*source, mapping=MAPPING, protect=PROTECT, as_of=AS_OF)
    for start in range(0, len(directory), size):
        feed_later = directory[max(0, start - 1) : start + size]
        comparison.see(_block(feed_later, deactivated=False))
        comparison.see_deactivated(_block(feed_later, deactivated=True))
    comparison.settle_unseen()

    assert the_changes(comparison.close(whole=True), EVERYTHING) == the_changes(
        compare(source, directory), EVERYTHING
    )


@law
@given(sources, directories, st.data())
def test_an_edit_of_one_user_moves_nobody_else(
    source: list[dict[str, str]], directory: list[DirectoryUser], data: st.DataObject
) -> None:
    """Locality: the changes of all other users stay what they were."""
    if not directory:
        return
    at = data.draw(st.integers(0, len(directory) - 1))
    uid = directory[at].uid
    edited = list(directory)
    edited[at] = msgspec.structs.replace(data.draw(users), uid=uid)

    before = the_changes(compare(source, directory), EVERYTHING)
    after = the_changes(compare(source, edited), EVERYTHING)

    others = [[msgspec.structs.replace(c, seq=0) for c in changes if c.uid != uid] for changes in (before, after)]
    assert others[0] == others[1]


@law
@given(sources, directories)
def test_a_change_survives_the_way_through_a_file(
    source: list[dict[str, str]], directory: list[DirectoryUser]
) -> None:
    """Round trip: what is read back is what was written, to the byte."""
    changes = the_changes(compare(source, directory), EVERYTHING, ["kiwi", "fig"])
    lines = [encode_change(change) for change in changes]

    assert [decode_change(line) for line in lines] == changes
    assert [encode_change(decode_change(line)) for line in lines] == lines


@law
@given(sources, directories)
def test_a_change_brings_its_user_in_step(source: list[dict[str, str]], directory: list[DirectoryUser]) -> None:
    """Convergence: once the updates are made, the users that had them need no more."""
    updated = {user.uid: user for user in directory}
    for change in the_changes(compare(source, directory), PlanPolicy()):
        if change.uid in updated:
            updated[change.uid] = _written(updated[change.uid], change)

    again = the_changes(compare(source, list(updated.values())), PlanPolicy())

    assert [change for change in again if change.uid in updated] == []


def _block(directory: list[DirectoryUser], *, deactivated: bool) -> pa.Table:
    shown = [user for user in directory if bool(user.deactivated_at) is deactivated]
    return a_block(*shown, fields=MAPPING.fields)


def _written(user: DirectoryUser, change: Change) -> DirectoryUser:
    metadata = msgspec.json.decode(user.metadata) if isinstance(user.metadata, msgspec.Raw) else {}
    for field in change.fields:
        value = as_json(field, change.desired[field])
        if field.startswith("metadata."):
            metadata = {**metadata, field.removeprefix("metadata."): value}
        else:
            name = "status_message" if field == "statusMessage" else field
            user = msgspec.structs.replace(user, **{name: value or ([] if field == "tags" else None)})
    kept = {key: value for key, value in metadata.items() if value is not None}
    return msgspec.structs.replace(user, metadata=msgspec.Raw(msgspec.json.encode(kept)))
