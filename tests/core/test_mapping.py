"""Promises about what the columns mean."""

import pytest

from reconcile.core.mapping import field_order
from tests.builders import a_mapping, a_rule


def test_fields_are_shown_in_one_order_whatever_the_settings_say() -> None:
    """The profile, the role, the tags, then metadata by key."""
    mapping = a_mapping("metadata.b", "tags", "role", "metadata.a", "statusMessage", "name")

    assert mapping.fields == ("name", "statusMessage", "role", "tags", "metadata.a", "metadata.b")
    assert sorted(mapping.fields, key=field_order) == list(mapping.fields)


def test_a_column_that_feeds_two_fields_is_read_once() -> None:
    """The same cell may be a name and a metadata key."""
    mapping = a_mapping(a_rule("name", "label"), a_rule("metadata.label", "label"))

    assert mapping.columns == ("id", "label")


@pytest.mark.parametrize(
    ("field", "clears"),
    [("avatar", True), ("tags", True), ("metadata.a", True), ("role", False), ("statusMessage", False)],
)
def test_an_empty_cell_never_demotes_and_never_clears_a_status_message(field: str, clears: bool) -> None:  # noqa: FBT001
    """Under `clear` these two are kept; under `keep` everything is."""
    assert a_mapping("name").keeps_where_empty(field) is not clears
    assert a_mapping("name", keep_empty=True).keeps_where_empty(field)
