"""Promises about the decision that is made at the look right before a write."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from reconcile.core.bodies import create_body, replacing_bodies, restoring_body, update_bodies, verify
from reconcile.core.freshness import Freshness
from reconcile.core.guards import GuardClass
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.plan import Action
from reconcile.core.upsert import Create, Decision, Update, decide
from reconcile.core.users import Record, fingerprint
from tests.builders import FIELDS, a_change, a_record, the_terms

DESIRED: dict[str, str | None] = {"name": "Lime", "role": "default"}
SEEN = a_record()
LOOKS: dict[str, Record | None] = {
    "absent": None,
    "same": a_record(name="Lime"),
    "as planned": SEEN,
    "moved": a_record(name="Plum", link="https://example.org"),
    "role moved": a_record(role="vip"),
    "deactivated": a_record(deactivated_at=5),
}
CREATE = a_change(action=Action.CREATE, guard_class=GuardClass.CREATE, fields=FIELDS, before={}, desired=DESIRED)
UPDATE = a_change(desired=DESIRED, fingerprint=fingerprint(SEEN.values, FIELDS))


def told(decision: Decision) -> str:
    """A decision in a word or two."""
    match decision:
        case Create():
            return "create"
        case Update(fields=fields):
            return f"update {'+'.join(fields)}"
        case Settled(outcome=outcome):
            return outcome.value


@pytest.mark.parametrize(
    ("look", "one_go", "saved", "one_go_sent", "saved_sent"),
    [
        ("absent", "create", "create", "create", "create"),
        ("same", "already", "already", "applied", "applied"),
        ("moved", "update name", "skipped", "update name", "update name"),
        ("role moved", "skipped", "skipped", "update name+role", "update name+role"),
        ("deactivated", "skipped", "skipped", "skipped", "skipped"),
    ],
)
def test_a_create_that_meets_a_user(look: str, one_go: str, saved: str, one_go_sent: str, saved_sent: str) -> None:
    """The third branch is for one go only; after a lost answer, what stands there may be ours, half taken."""
    decisions = [
        told(
            decide(CREATE, LOOKS[look], the_terms(planned=frozenset({GuardClass.CREATE}), exact=exact, sent=sent))
        )
        for sent in (False, True)
        for exact in (False, True)
    ]

    assert decisions == [one_go, saved, one_go_sent, saved_sent]


@pytest.mark.parametrize(
    ("look", "one_go", "saved", "one_go_sent", "saved_sent"),
    [
        ("absent", "skipped", "skipped", "skipped", "skipped"),
        ("same", "already", "already", "applied", "applied"),
        ("as planned", "update name", "update name", "update name", "update name"),
        ("moved", "update name", "skipped", "update name", "update name"),
        ("role moved", "skipped", "skipped", "update name", "update name"),
        ("deactivated", "skipped", "skipped", "skipped", "skipped"),
    ],
)
def test_an_update_that_meets_a_user(
    look: str, one_go: str, saved: str, one_go_sent: str, saved_sent: str
) -> None:
    """A saved plan writes only to the record that it saw; a user that vanished is never created anew."""
    decisions = [
        told(decide(UPDATE, LOOKS[look], the_terms(exact=exact, sent=sent)))
        for sent in (False, True)
        for exact in (False, True)
    ]

    assert decisions == [one_go, saved, one_go_sent, saved_sent]


@pytest.mark.parametrize(
    ("desired", "look", "planned", "decision"),
    [
        ({"role": "vip"}, {}, {"update"}, "would now need a role_change that the plan did not have"),
        ({"role": "vip"}, {}, {"update", "role_change"}, "update name"),
        (
            {"avatar": None},
            {"avatar": "https://x"},
            {"update"},
            "would now need a clear that the plan did not have",
        ),
        ({"avatar": None}, {"avatar": "https://x"}, {"update", "clear"}, "update name"),
        ({"link": "https://x"}, {}, {"update"}, "update name+link"),
    ],
)
def test_in_one_go_nothing_grave_is_done_that_the_plan_did_not_have(
    desired: dict[str, str | None], look: dict[str, Any], planned: set[str], decision: str
) -> None:
    """More values of the same class may be set, but no role is changed and no value lost unplanned."""
    fields = ("name", "avatar", "link", "role")
    change = a_change(desired=DESIRED | desired)
    terms = the_terms(compared=fields, planned=frozenset(map(GuardClass, planned)))

    found = decide(change, a_record(fields, **look), terms)

    assert (found.detail if isinstance(found, Settled) else told(found)) == decision


def test_a_saved_plan_writes_only_its_own_fields() -> None:
    """Also where more would differ by now."""
    fields = (*FIELDS, "link")
    seen = a_record(fields)
    change = a_change(desired=DESIRED | {"link": "https://x"}, fingerprint=fingerprint(seen.values, FIELDS))

    assert told(decide(change, seen, the_terms(exact=True, compared=fields))) == "update name"


def test_a_saved_plan_follows_a_move_of_our_own() -> None:
    """The first of a user's two changes moved the record for the second."""
    moved = a_record(role="vip")
    terms = the_terms(exact=True, expected=fingerprint(moved.values, FIELDS))

    assert told(decide(UPDATE, moved, terms)) == "update name"


@pytest.mark.parametrize(("name", "decision"), [("Kiwi", "update name"), ("Lime", "already")])
def test_a_field_that_the_policy_keeps_needs_no_write(name: str, decision: str) -> None:
    """An empty role in the source agrees with any role, and stands in nobody's way."""
    change = a_change(desired={"name": "Lime", "role": None})

    assert told(decide(change, a_record(name=name, role="vip"), the_terms())) == decision


def test_once_something_was_sent_only_the_fields_of_the_change_are_looked_at() -> None:
    """What else differs by now is the next run's matter."""
    fields = (*FIELDS, "link")
    change = a_change(desired=DESIRED | {"link": "https://x"})

    assert told(decide(change, a_record(fields, name="Lime"), the_terms(compared=fields, sent=True))) == "applied"


def test_an_agreeing_look_is_kept_for_the_books() -> None:
    """Its time and fingerprint say later whether somebody else wrote."""
    look = a_record(name="Lime", created_at=7, updated_at=99)
    settled = decide(UPDATE, look, the_terms())

    assert isinstance(settled, Settled)
    assert (settled.updated_at, settled.fingerprint) == (99, fingerprint(look.values, FIELDS))


@pytest.mark.parametrize(
    ("updated_at", "but", "outcome"),
    [
        (99, {}, "update name"),
        (100, {}, "skipped"),
        (100, {"ours": 100}, "update name"),
        (101, {"ours": 100}, "skipped"),
        (101, {"left_at": 101}, "update name"),
        (102, {"left_at": 101}, "skipped"),
        (101, {"sent": True}, "update name"),
        (101, {"planned": frozenset({GuardClass.UPDATE, GuardClass.REACTIVATE})}, "update name"),
    ],
)
def test_who_moved_after_the_export_is_left_alone_where_the_policy_says_so(
    updated_at: int, but: dict[str, Any], outcome: str
) -> None:
    """Also when that happened after the plan; what moved by our own hands is no stranger's change."""
    terms = the_terms(**{name: value for name, value in but.items() if name != "ours"})
    freshness = Freshness(100, {"kiwi": but["ours"]} if "ours" in but else {})
    look = a_record(created_at=7, updated_at=updated_at)

    assert told(decide(UPDATE, look, replace(terms, freshness=freshness))) == outcome
    assert told(decide(UPDATE, look, terms)) == "update name"


def test_a_user_who_signed_up_since_the_export_is_left_alone_too() -> None:
    """A create that meets somebody writes nothing over them."""
    create = a_change(action=Action.CREATE, guard_class=GuardClass.CREATE, before={})
    look = a_record(created_at=100)

    assert told(decide(create, look, the_terms())) == "update name"
    assert told(decide(create, look, the_terms(freshness=Freshness(100)))) == "skipped"


@pytest.mark.parametrize(
    ("role", "outcome"), [("default", "update role"), ("gold", "skipped"), ("premium", "already")]
)
def test_a_role_that_was_bought_since_the_plan_is_not_undone(role: str, outcome: str) -> None:
    """The plan had a change from another role than the one that is there now."""
    change = a_change(
        guard_class=GuardClass.ROLE_CHANGE,
        fields=("role",),
        before={"role": "default"},
        desired={"name": "Kiwi", "role": "premium"},
    )
    terms = the_terms(planned=frozenset({GuardClass.ROLE_CHANGE}))

    assert told(decide(change, a_record(name="Kiwi", role=role), terms)) == outcome


def test_fields_that_no_look_shows_are_not_written() -> None:
    """What cannot be compared cannot be proven."""
    change = a_change(fields=("tags",), desired={"tags": '["fig"]'})
    settled = decide(change, SEEN, the_terms())

    assert isinstance(settled, Settled)
    assert (settled.outcome, settled.detail.split(":")[0]) == (Outcome.SKIPPED, "unproven")


def test_a_new_user_is_sent_with_what_is_filled() -> None:
    """Neither null nor an empty text ever goes out."""
    change = a_change(
        action=Action.CREATE,
        desired={"name": "Kiwi", "avatar": None, "tags": '["fig"]', "metadata.a": "1", "metadata.b": None},
    )

    body = msgspec.json.decode(msgspec.json.encode(create_body(change)))

    assert body == {"uid": "kiwi", "name": "Kiwi", "tags": ["fig"], "metadata": {"a": 1}}


def sent(fields: tuple[str, ...], desired: dict[str, str | None], **look: Any) -> list[dict[str, Any]]:
    """The bodies as they go over the wire."""
    bodies = update_bodies(fields, desired, a_record(tuple(desired), **look))
    found: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(bodies))
    return found


@pytest.mark.parametrize(
    ("fields", "desired", "bodies"),
    [
        (("name",), {"name": "Lime", "role": "vip"}, [{"name": "Lime"}]),
        (("role",), {"name": "Lime", "role": "vip"}, [{"role": "vip"}]),
        (("avatar", "link"), {"avatar": None, "link": None}, [{"unset": ["avatar", "link"]}]),
        (("tags",), {"tags": None}, [{"tags": []}]),
        (("tags",), {"tags": '["a"]'}, [{"tags": ["a"]}]),
        (("name", "avatar"), {"name": "Lime", "avatar": None}, [{"name": "Lime"}, {"unset": ["avatar"]}]),
    ],
)
def test_an_update_sends_the_least(
    fields: tuple[str, ...], desired: dict[str, str | None], bodies: list[dict[str, Any]]
) -> None:
    """Only the fields of the change; setting and unsetting are two calls."""
    assert sent(fields, desired) == bodies


@pytest.mark.parametrize(
    ("desired", "held", "bodies"),
    [
        ({"metadata.a": '"new"'}, {"a": "old", "foreign": [1.0]}, [{"metadata": {"foreign": [1.0], "a": "new"}}]),
        ({"metadata.a": None}, {"a": "old", "foreign": 1}, [{"metadata": {"foreign": 1}}]),
        ({"metadata.a": None}, {"a": "old"}, [{"unset": ["metadata"]}]),
        ({"metadata.a": None, "metadata.b": "2"}, {"a": "old"}, [{"metadata": {"b": 2}}]),
    ],
)
def test_metadata_is_written_whole_and_unset_only_where_nothing_foreign_goes(
    desired: dict[str, str | None], held: dict[str, Any], bodies: list[dict[str, Any]]
) -> None:
    """Nobody documents whether an update merges or replaces it."""
    assert sent(tuple(desired), desired, metadata=held) == bodies


@pytest.mark.parametrize(
    ("desired", "held", "bodies"),
    [
        (
            {"metadata.a": None, "metadata.b": '"2"'},
            {"a": 1, "b": "2"},
            [{"unset": ["metadata"]}, {"metadata": {"b": "2"}}],
        ),
        ({"metadata.a": None}, {"a": 1}, [{"unset": ["metadata"]}]),
        ({"metadata.a": None}, {"a": 1, "foreign": 2}, []),
        ({"metadata.a": None}, {}, []),
        ({"metadata.a": '"x"'}, {"a": 1}, []),
    ],
)
def test_where_the_service_merges_a_key_is_removed_unless_something_foreign_would_go(
    desired: dict[str, str | None], held: dict[str, Any], bodies: list[dict[str, Any]]
) -> None:
    """Then the change cannot stick, and is said."""
    found = replacing_bodies(tuple(desired), desired, a_record(tuple(desired), metadata=held))

    assert msgspec.json.decode(msgspec.json.encode(found)) == bodies


@pytest.mark.parametrize(
    ("whole", "left", "body"),
    [
        ({"a": 1, "b": "2"}, {}, {"metadata": {"b": "2"}}),
        ({"a": 1, "b": "2"}, {"c": 3}, {"metadata": {"c": 3, "b": "2"}}),
        ({"a": 1, "b": "2"}, {"b": "new"}, None),
        ({"a": 1, "b": "2"}, {"a": 1, "b": "2"}, None),
        ({"a": 1}, {}, None),
    ],
)
def test_what_a_replacement_took_away_and_did_not_put_back_is_put_back(
    whole: dict[str, Any], left: dict[str, Any], body: dict[str, Any] | None
) -> None:
    """But for what was to go, and beside what another has written since."""
    desired = {"metadata.a": None, "metadata.b": '"2"'}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in whole.items()}
    found = restoring_body(("metadata.a",), desired, a_record(tuple(desired), metadata=left), raw)

    assert msgspec.json.decode(msgspec.json.encode(found)) == body


@pytest.mark.parametrize(
    ("field", "wanted", "look", "shows", "differing", "unshown"),
    [
        ("name", "Lime", {"name": "Lime"}, set(), (), ()),
        ("name", "Lime", {"name": "Kiwi"}, set(), ("name",), ()),
        ("tags", '["a"]', {"tags": ["a"]}, set(), (), ()),
        ("tags", '["a"]', {"tags": ["b"]}, set(), ("tags",), ()),
        ("tags", '["a"]', {}, {"tags"}, (), ("tags",)),
        ("tags", '["a"]', {}, set(), (), ("tags",)),
        ("tags", None, {}, {"tags"}, (), ()),
        ("tags", None, {}, set(), (), ("tags",)),
        ("tags", None, {"tags": ["a"]}, set(), ("tags",), ()),
        ("metadata.a", '"b"', {"metadata": {"a": "b"}}, set(), (), ()),
        ("metadata.a", None, {"metadata": {"a": "b"}}, {"metadata"}, ("metadata.a",), ()),
        ("metadata.a", None, {}, {"metadata"}, (), ()),
        ("metadata.a", None, {}, set(), (), ("metadata.a",)),
    ],
)
def test_an_answer_proves_only_what_it_shows(
    field: str,
    wanted: str | None,
    look: dict[str, Any],
    shows: set[str],
    differing: tuple[str, ...],
    unshown: tuple[str, ...],
) -> None:
    """The absence of a group means that it is empty only where this kind of answer carries it at all."""
    found = verify([field], {field: wanted}, a_record((field,), **look), frozenset(shows))

    assert (found.differing, found.unshown) == (differing, unshown)
    assert found.holds is (not differing and not unshown)
