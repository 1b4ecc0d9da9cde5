"""Promises about values inside the metadata object: they are set and taken away, and all else stays."""

from typing import Any

import msgspec
import pytest

from reconcile.core.metadata import (
    metadata_field,
    metadata_object,
    metadata_path,
    obstructed,
    value_at,
    with_value,
)


def an_object(value: Any) -> dict[str, msgspec.Raw]:
    """A metadata object, split by key."""
    return metadata_object(msgspec.Raw(msgspec.json.encode(value)))


def read(whole: Any) -> Any:
    """What an object is as plain JSON."""
    return msgspec.json.decode(msgspec.json.encode(whole))


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("metadata.plan", ("plan",)),
        ("metadata.address.city", ("address", "city")),
        ('metadata."address.city"', ("address.city",)),
        ('metadata.a."b.c".d', ("a", "b.c", "d")),
        ("metadata.first name", ("first name",)),
        ("name", None),
    ],
)
def test_a_path_is_written_as_toml_writes_keys(field: str, path: tuple[str, ...] | None) -> None:
    """A dot leads into an inner object, unless it stands in quotes; and the name leads back."""
    assert metadata_path(field) == path
    assert path is None or metadata_field(path) == field


@pytest.mark.parametrize("field", ["metadata.", "metadata.a..b", "metadata.a.", 'metadata."a', 'metadata.""'])
def test_a_path_that_leads_nowhere_is_refused(field: str) -> None:
    """No key is empty."""
    with pytest.raises(ValueError, match="no path"):
        metadata_path(field)


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ({}, '"Oslo"', {"address": {"city": "Oslo"}}),
        (
            {"address": {"city": "Bergen", "zip": "1"}, "x": 1},
            '"Oslo"',
            {"address": {"city": "Oslo", "zip": "1"}, "x": 1},
        ),
        ({"address": {"city": "Bergen", "zip": "1"}}, None, {"address": {"zip": "1"}}),
        ({"address": {"city": "Bergen"}, "x": 1}, None, {"x": 1}),
        ({"address": "Bergen"}, None, {"address": "Bergen"}),
        ({"address": None}, '"Oslo"', {"address": {"city": "Oslo"}}),
    ],
)
def test_an_inner_value_is_written_and_nothing_else(before: Any, text: str | None, after: Any) -> None:
    """What stands beside it in the inner object is not ours."""
    whole = with_value(an_object(before), ("address", "city"), text)

    assert read(whole) == after
    assert value_at(whole, ("address", "city")) == text


@pytest.mark.parametrize(
    ("whole", "is_so"),
    [
        ({}, False),
        ({"a": {"b": {}}}, False),
        ({"a": {"b": {"c": [1]}}}, False),
        ({"a": None}, False),
        ({"a": "x"}, True),
        ({"a": {"b": []}}, True),
    ],
)
def test_a_value_in_the_way_is_seen(whole: Any, is_so: bool) -> None:  # noqa: FBT001
    """Only an object, or nothing, lets a path through."""
    assert obstructed(an_object(whole), ("a", "b", "c")) is is_so
