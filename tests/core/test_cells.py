"""Promises about the text that a rule makes of a row's cells."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.bodies import create_body
from reconcile.core.cells import texts
from reconcile.core.ids import hash_suffix, lower, strip
from reconcile.core.limits import METADATA_BYTES
from reconcile.core.mapping import ColumnRule, Template, Transform
from tests.builders import a_change, a_desired, a_mapping, a_raw_frame, a_row, a_rule


def made(rule: ColumnRule, **cells: str) -> str:
    """The text that a rule makes of these cells."""
    *_, (_, text) = texts(a_raw_frame([cells], cells), rule)
    return str(text[0].as_py())


NAME = ColumnRule("name", Template.read("{first} {middle} {last}"))
AVATAR = ColumnRule("avatar", Template.read("https://x/{org}/{id}.png"))


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (("Grey", "B.", "Heron"), "Grey B. Heron"),
        (("Grey", "", "Heron"), "Grey Heron"),
        (("", "", "Heron"), "Heron"),
        ((" Grey ", " ", ""), "Grey"),
        (("", " ", ""), ""),
        (("Grey  Old", "B", "Heron"), "Grey  Old B Heron"),
    ],
)
def test_an_empty_column_leaves_no_hole_in_a_name(cells: tuple[str, str, str], text: str) -> None:
    """The blanks around it count once, and nothing at all is empty."""
    first, middle, last = cells

    assert made(NAME, first=first, middle=middle, last=last) == text


def test_an_empty_column_empties_a_url() -> None:
    """A URL with a hole in it is a wrong one."""
    assert made(AVATAR, org="a", id="7") == "https://x/a/7.png"
    assert made(AVATAR, org="a", id=" ") == ""


def test_a_constant_is_the_same_for_everybody() -> None:
    """It needs no column."""
    assert made(ColumnRule("metadata.origin", Template(("crm",))), id="x") == "crm"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_column_is_changed_as_the_public_functions_change_a_text(cell: str) -> None:
    """The app's login code comes to the uid that the job comes to."""
    rule = a_rule("uid", "id", transforms=(Transform.STRIP, Transform.LOWER, Transform.HASH_SUFFIX))

    assert made(rule, id=cell) == hash_suffix(lower(strip(cell)))


def test_the_words_for_nobody_do_not_become_somebody() -> None:
    """A hash would make a legal uid of `null`, and one user of all who have no id."""
    mapping = a_mapping("name", uid=a_rule("uid", "id", transforms=(Transform.HASH_SUFFIX,)))
    desired = a_desired(a_row("null"), a_row("0"), a_row(""), a_row("wren"), mapping=mapping)

    assert [row.raw_uid for row in desired.quarantined] == ["null", "0", ""]
    assert len(desired.users) == 1


@given(st.lists(st.text('ab"\\é', max_size=4), min_size=4, max_size=4), st.integers(-3, 3))
def test_the_size_of_nested_metadata_is_the_size_that_is_sent(values: list[str], over: int) -> None:
    """A row at the limit passes, and one byte more does not."""
    fields = ["metadata.a.b.c", "metadata.a.b.d", "metadata.a.e", 'metadata."f.g"']
    mapping = a_mapping("name", *fields, "metadata.fill")
    row = a_row() | dict(zip(fields, values, strict=True)) | {"metadata.fill": "x"}
    user = a_desired(row, mapping=mapping).users.to_dict("records")[0]
    held = {name: user[name] for name in mapping.fields if isinstance(user[name], str)}
    size = len(msgspec.json.encode(create_body(a_change(desired=held))["metadata"]))
    filled = row | {"metadata.fill": "x" * (1 + METADATA_BYTES - size + over)}

    assert bool(a_desired(filled, mapping=mapping).quarantined) is (over > 0)
