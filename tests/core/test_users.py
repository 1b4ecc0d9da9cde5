"""Promises about the normal form in which both sides are compared."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.metadata import metadata_object
from reconcile.core.normal import canonical_json, canonical_tags
from reconcile.core.users import as_json, as_record, fingerprint, fold_uid
from tests.builders import a_record, a_user

KELVIN = "\N{KELVIN SIGN}"
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("kiwi", "kiwi"),
        (" KiWi_-9\t", "kiwi_-9"),
        ("\N{NO-BREAK SPACE}kiwi\n", "kiwi"),
        ("0012", "0012"),
        ("k" * 100, "k" * 100),
        ("k" * 101, None),
        ("", None),
        ("   ", None),
        ("ki wi", None),
        ("kiwi.fruit", None),
        ("kiwi@example.org", None),
        ("kiwí", None),
        (f"{KELVIN}iwi", None),
        ("kiwi\0", None),
        ("٣", None),
        ("0", None),
        ("NULL", None),
        ("undefined", None),
        ("00", "00"),
    ],
)
def test_a_uid_is_trimmed_then_checked_then_lowered(text: str, folded: str | None) -> None:
    """The order matters: folding first would let a Kelvin sign become a k."""
    assert fold_uid(text) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"b": 1, "a": [1, 2]}, {"a": [1, 2], "b": 1}),
        (1, 1.0),
        (0, -0.0),
        ({"a": {"z": 2.0, "y": None}}, {"a": {"y": None, "z": 2}}),
    ],
)
def test_equal_json_has_equal_text(one: Any, other: Any) -> None:
    """Key order and the spelling of a number are no difference."""
    assert canonical_json(one) == canonical_json(other)


@pytest.mark.parametrize(("one", "other"), [([1, 2], [2, 1]), (1, "1"), (1, True), ({}, []), ("", None), (1, 1.5)])
def test_different_json_has_different_text(one: Any, other: Any) -> None:
    """Lists are ordered, and types are told apart."""
    assert canonical_json(one) != canonical_json(other)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_number_is_refused(number: float) -> None:
    """NaN and the infinities have no JSON."""
    with pytest.raises(ValueError, match="not a JSON number"):
        canonical_json([number])


@given(json_values)
def test_a_canonical_text_is_its_own_canonical_form(value: Any) -> None:
    """Reading it and writing it again changes nothing."""
    text = canonical_json(value)

    assert canonical_json(as_json("metadata.key", text)) == text


def test_tags_are_a_set() -> None:
    """Order, doubles, blanks and white space around a tag are no difference."""
    assert canonical_tags(["plum", " fig ", "", "plum"]) == canonical_tags(["fig", "plum"]) == '["fig","plum"]'
    assert canonical_tags([" ", ""]) is None


@pytest.mark.parametrize("nothing", [{}, [], None, "", "[]", "{}", "no json", '{"cut": ', "[1, 2]", 7])
def test_every_way_to_say_no_metadata_means_no_metadata(nothing: Any) -> None:
    """An empty object comes back as a list, as null, as text or not at all."""
    assert metadata_object(msgspec.Raw(msgspec.json.encode(nothing))) == {}
    assert metadata_object(msgspec.UNSET) == {}


def test_metadata_inside_a_string_is_read() -> None:
    """A public client stored it that way, and the service took it."""
    record = a_record(("metadata.country",), metadata='{"country": "NZ", "beak": {"b": 1, "a": 2}}')

    assert record.values == {"metadata.country": '"NZ"'}
    assert set(record.metadata) == {"country", "beak"}


@pytest.mark.parametrize("odd", [b"1e999", b"[" * 3000 + b"]" * 3000])
def test_a_value_that_cannot_be_decoded_is_a_difference_and_no_crash(odd: bytes) -> None:
    """One odd user does not end a run over a million."""
    user = a_user(metadata=msgspec.Raw(b'{"n": ' + odd + b"}"))

    value = as_record(user, ("metadata.n",)).values["metadata.n"]

    assert value is None or value == odd.decode()


def test_a_record_keeps_foreign_metadata_and_names_what_was_shown() -> None:
    """Metadata is written whole, so what is not ours has to be kept."""
    record = a_record(("name", "metadata.a"), metadata={"a": 1.0, "foreign": [1]}, tags=[])

    assert record.values == {"name": "Kiwi", "metadata.a": "1"}
    assert bytes(record.metadata["foreign"]) == b"[1]"
    assert record.shown == {"tags", "metadata"}


def test_a_record_is_in_normal_form() -> None:
    """Upper case uids and roles are folded, empty texts are nothing."""
    fields = ("avatar", "role", "statusMessage", "tags")
    record = a_record(fields, uid="KIWI", role="Premium", avatar="", status_message="", tags=["b", "a"])

    assert record.uid == "kiwi"
    assert record.values == {"avatar": None, "role": "premium", "statusMessage": None, "tags": '["a","b"]'}


@pytest.mark.parametrize(("stamp", "active"), [(None, True), (0, True), (1_700_000_000, False)])
def test_only_a_time_of_deactivation_makes_a_user_inactive(stamp: int | None, active: bool) -> None:  # noqa: FBT001
    """The vendor's own client writes 0 for "not deactivated"."""
    assert a_record(deactivated_at=stamp).active is active


def test_a_fingerprint_covers_the_named_fields_and_nothing_else() -> None:
    """Times and fields that nobody manages leave it as it is; any managed field changes it."""
    fields = ("name", "role")
    before = fingerprint(a_record(fields).values, fields)
    same = a_record((*fields, "link"), updated_at=9, link="https://example.org/kiwi").values
    moved = a_record(fields, role="premium").values

    assert fingerprint(same, ("role", "name")) == before
    assert fingerprint(moved, fields) != before
    assert len(before) == 16


def test_a_fingerprint_tells_nothing_from_an_empty_list_of_fields() -> None:
    """A missing value and another field's value cannot stand in for each other."""
    assert fingerprint({"name": None, "link": "x"}, ("name", "link")) != fingerprint(
        {"name": "x", "link": None}, ("name", "link")
    )
