"""Promises about what the columns mean."""

import pytest

from reconcile.core.mapping import ColumnKind, ColumnRule, Template, Transform, field_order
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


@pytest.mark.parametrize(
    ("written", "literals", "columns"),
    [
        ("{first} {last}", ("", " ", ""), ("first", "last")),
        ("{ id }", ("", ""), ("id",)),
        ("https://x/{id}.png", ("https://x/", ".png"), ("id",)),
        ("a{{b}}{c}", ("a{b}", ""), ("c",)),
        ("plain", ("plain",), ()),
        ("", ("",), ()),
    ],
)
def test_a_template_is_read_and_said_again(
    written: str, literals: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    """Names stand in braces, and a brace itself is doubled."""
    template = Template.read(written)

    assert (template.literals, template.columns) == (literals, columns)
    assert len(template.literals) == len(template.columns) + 1


@pytest.mark.parametrize("written", ["{", "}", "{}", "{a", "a}", "{a{b}}"])
def test_a_template_with_a_stray_brace_is_refused(written: str) -> None:
    """It would leave a column's name in every user."""
    with pytest.raises(ValueError, match="brace"):
        Template.read(written)


def test_equal_words_mean_the_same_mapping() -> None:
    """A mapping that changes anything about a field says it."""
    rules = [
        a_rule("name", "a"),
        a_rule("name", "b"),
        a_rule("name", "a", transforms=(Transform.LOWER,)),
        a_rule("name", "a", ColumnKind.NUMBER),
        ColumnRule("name", Template.read("x{a}")),
        ColumnRule("name", Template(("a",))),
    ]

    assert len({a_mapping(rule).words["name"] for rule in rules}) == len(rules)
    assert a_mapping(roles={"free": "default"}).words != a_mapping().words
